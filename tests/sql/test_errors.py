"""Every error message of the sources has an example in docs/ that prints it, and every option one that uses it.

What the examples print is what test_docs.py compares with what they really print; here their text is searched.  A new
message needs an example, in docs/errors.md or beside its function in docs/reference.md, or, where SQL in the shell
cannot provoke it, a line below with the reason.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from messages import messages, pattern
from test_docs import KNOWN_OPTIONS, TABLES, Page, under

# {why: messages that no example shows}
NOT_SHOWN = {
    "only where memory is short (tests/sql/test_store_faults.py, tests/unit)": [
        "out of memory",
    ],
    "only by sqlite3_interrupt() from another thread (the interrupts of the suites)": [
        "interrupted",
    ],
    "more than any memory holds": [
        "more than %d different vectors",
        "more than %d different names",
        "too many prompts or responses to draw from",
        "%zu pairs of responses; at most %d are supported",
    ],
    "the system fails in the middle of a file": [
        "cannot write %.200s: %s",
        "cannot rename to %.200s: %s",
        "zlib refuses to deflate",
        "zlib refuses a reset",
    ],
    "a named pipe is needed": [
        "%.100s has another order than %.100s and cannot be read twice; a regular file is required",
    ],
    "the extension is loaded already (another SQLite, or one short of memory, is needed)": [
        "personalllm: SQLite %s is too old; 3.40.0 or newer is required",
        "personalllm: cannot register table %s: %s",
        "personalllm: cannot register %s(): %s",
        "persona_responses: cannot fill %s_config: %s",
    ],
    "by PRAGMA integrity_check of SQLite 3.44 and newer (tests/sql/test_store_faults.py)": [
        "%s table %s.%s: %s of %s %lld, which is no row",
        "persona_responses table %s.%s: response_id %lld: %s",
    ],
    "a hostile schema (tests/sql/test_store_faults.py)": [
        "its shadow tables are damaged: a trigger or view leads from them back to the table",
    ],
    "a model with a right checksum that contradicts itself (tests/sql/test_model.py, tests/unit/test_model.c)": [
        "the model contradicts itself: %s",
        "kind %d is unknown",
        "models of kind %s are not known yet",
        "dim %zu; 1 to %d is required",
        "flags %u are unknown",
        "the objective is no number that can be",
        "the options",
        "the options are %s; an object is required",
        "%zu names for %zu numbers; one name each is required",
        "name %zu is empty or no valid UTF-8",
        'section "%s" is not where a %s model has it',
        'section "%s" is %zu x %zu numbers, which does not go with dim %zu and rank %zu',
        'section "%s" has %s as number %zu',
        'section "%s" does not belong in a %s model',
        "it has no users",
        "user %zu has no whole number as id",
        "a prior of %zu features, %zu alphas and %zu sharpnesses",
        "a prior's mean of feature %zu is too small",
        "a prior's alpha %zu is not from 0.001 to 1000",
        "a prior's probabilities do not add up to 1",
        "choice set %zu of its evidence",
        "rows of evidence outside choice sets",
        "evidence that is not scaled",
        "the settings of its prior",
        "half a learned prior",
        "a text student of %g random and %g hashed features has no %zu weights",
        "a student of %zu reward models; 1 to %d are required",
        "it has %zu classes; 1 to %d are possible",
        "argument 1 (model): a model of kind %s has no weights",
        "the features are out of all proportion to those the model was learned from",
    ],
    "rounding, beyond what the smallest penalty allows for": [
        "the normal equations are not positive definite; a larger lambda is needed",
    ],
    "guards of the C interface: the SQL side refuses such values before, by a message that is shown": [
        "%zu features; the model's have %zu numbers",
        "seed is %lld; a whole number from 0 to 4294967295 is required",
        "per_user is %zu; a whole number from 1 to %d is required",
        "noise is %g; a number from 0 to 1e300 is required",
        "k is %zu; 1 to %d are possible",
        "candidates %zu to %zu of %zu",
        "%zu dimensions; 1 to %d are possible",
        "dimension %zu; 1 to %d is required",
        "%d reward models; 1 to %d are allowed",
    ],
    "errors of this library itself": [
        "the form features are not %d",
        'option "%s" has an unknown kind',
        "this model cannot be stored",
        "pllm_parallel: chunk out of range",
        "pllm_parallel: no mutex",
        "pllm_parallel: no condition",
        "pllm_users_read: no such user or turn",
        "no philox user or turn",
        "no philox user",
        "pllm_users_ahead_next: no such user",
        "pllm_evaluator_start: %d blocks are not joined",
        "begun before fork(); a child process needs a connection of its own",
    ],
}

pages = [Page(name) for name in ["README.md"] + under("docs")]
printed = {line for page in pages for block in page.sql() if page.expected(block)
           for line in page.text(page.expected(block)).split("\n") if "rror: " in line}
found = messages(ROOT)
ok(len(found) > 400, "the sources hold messages", len(found))
not_shown = [m for group in NOT_SHOWN.values() for m in group]
eq(sorted(set(not_shown) - set(found)), [], "what is listed as not shown is in the sources")
eq(len(not_shown), len(set(not_shown)), "and is listed once")
for message, files in sorted(found.items()):
    shown = any(pattern(message).search(line) for line in printed)
    if message in not_shown:
        ok(not shown, f"not to be shown, and not shown: {message}")
    else:
        ok(shown, f"has an example: {message}", f"{', '.join(sorted(files))}: write one into docs/errors.md, then `make docs`")

# Options: a statement that calls the function and has the key in quotes (or before =, in a declaration).
statements = [s for page in pages for block in page.sql() for s in re.split(r";\s*\n", page.text(block) + "\n")]
db = connect()
db.execute("CREATE TABLE pairs(user_id, chosen, rejected)")
for sql in ("persona_prompts()", "persona_responses(a, b)", "persona_users()"):
    db.execute(f"CREATE VIRTUAL TABLE {TABLES[sql[:sql.index('(')]]} USING {sql}")
# Options that several functions have in common are shown by one of them.
FAMILIES = [{"adapt_user", "adapt_user_choices", "adapt_user_ratings", "persona_adapt"}, {"learn_users", "learn_users_choices"},
            {"persona_votes", "persona_interactions", "persona_choices", "persona_evaluate"}, {"persona_import", "persona_export"},
            {"persona_chart", "persona_report"}]
for name, sql in sorted(KNOWN_OPTIONS.items()):
    family = next((f for f in FAMILIES if name in f), {name})
    try:
        db.execute(sql)
        keys = []
    except sqlite3.Error as e:
        keys = re.search(r"known (?:options|arguments): (.*)", str(e))[1].split(", ")
    key_used = r"\b{}\s*=" if name in TABLES else r"[\"']{}[\"']"
    mine = [s for s in statements if re.search(rf"\b({'|'.join(sorted(family))})\(", s)]
    missing = [k for k in keys if not any(re.search(key_used.format(k), s) for s in mine)]
    eq(missing, [], f"{name}: every option stands in an example")
done()
