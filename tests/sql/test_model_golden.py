"""Golden models: bytes of format version 1 are read for ever, and learning the same gives the same bytes on every machine."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ref"))
from tap import *
from make_models import OPTIONS, PATH, golden, learn
from modelcodec import decode, encode

MODELS = json.load(open(PATH, encoding="utf-8"))
db = connect()
golden(db)
methods = {m for m, in db.execute("SELECT method FROM persona_methods() WHERE function = 'learn_users'")}
eq(methods - set(MODELS), set(), "every kind that learn_users makes has golden bytes")
for kind, want in MODELS.items():
    blob = bytes.fromhex(want["bytes"])
    eq(json.loads(db.execute("SELECT model_info(?)", (blob,)).fetchone()[0]), want["info"], f"{kind}: model_info of the golden bytes")
    m = decode(blob)
    again = encode(m["kind"], m["dim"], [(n, *x.shape, x.ravel()) for n, x in m["sections"].items()], m["rank"], m["features"], m["outputs"],
                   json.dumps(m["options"], separators=(",", ":")), m["seed"], m["flags"], m["users"], m["users_skipped"], m["rows"], m["rows_skipped"], m["objective"], m["iterations"])
    eq(again, blob, f"{kind}: the independent codec writes the same bytes")
    # these numbers come out of the posterior's sampler, whose details may change with a version
    if kind in OPTIONS and kind not in ("prior", "posterior"):
        ok(learn(db, kind) == blob, f"{kind}: learning the same gives the same bytes")
    if kind == "posterior":
        ok(0 < db.execute("SELECT preference_probability(?, '[1,2,3]', '[3,1,2]')", (blob,)).fetchone()[0] < 1, "posterior: it says how likely a preference is")
    elif kind in OPTIONS:
        ok(db.execute("SELECT adapt_user(chosen, rejected, ?) FROM golden WHERE user_id = 1", (blob,)).fetchone()[0], f"{kind}: adaptation starts from the golden bytes")
done()
