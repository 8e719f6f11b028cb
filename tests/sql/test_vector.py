"""Vectors and the utility: persona_vector, persona_json, persona_reward, persona_config (rules R1..R5 of fn_vector.c)."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


rng = np.random.RandomState(1)
w, s = rng.standard_normal(10), rng.standard_normal(10)
total = w[0] * s[0]
for a, b in zip(w[1:], s[1:]):
    total = total + a * b
eq(one("SELECT persona_reward(?, ?)", w.tobytes(), s.tobytes()), total, "R1 the utility is the sum in position order, to the bit")
big = np.array([1e16, 1.0, -1e16])
eq(one("SELECT persona_reward(?, '[1,1,1]')", big.tobytes()), 0.0, "R1 no wider accumulator, no other order")
fma = np.array([1 + 2.0**-30, -1.0])
eq(one("SELECT persona_reward(?, ?)", fma.tobytes(), np.array([1 + 2.0**-30, 1 + 2.0**-29]).tobytes()), 0.0, "R1 products are rounded: no fused multiply-add")
f32 = s.astype(np.float32)
eq(one("SELECT persona_reward(?, ?)", w.tobytes(), f32.tobytes()), one("SELECT persona_reward(?, ?)", w.tobytes(), f32.astype(float).tobytes()), "R2 an f32 feature is told by the weights' length")
eq(one("SELECT persona_reward('[1, 2]', '[3, 4.5]')"), 12.0, "JSON text is accepted wherever a vector is")
eq(one("SELECT persona_vector('[1, -2.5]')"), struct.pack("<2d", 1, -2.5), "R3 JSON gives f64")
eq(one("SELECT persona_vector('[1, -2.5]', 'f64', 'f32')"), struct.pack("<2f", 1, -2.5), "R3 conversion to f32")
eq(one("SELECT persona_vector(?, 'f32', 'f64')", f32.tobytes()), f32.astype(float).tobytes(), "R3 conversion from f32 is exact")
x = np.array([0.1, -1 / 3, 5e-324, 1.7976931348623157e308, 0.0, 123456789.0])
eq(np.array(json.loads(one("SELECT persona_json(?)", x.tobytes()))).tobytes(), x.tobytes(), "R4 JSON reads back to the same bits")
eq(one("SELECT persona_json('[0.1, 100, 1e300]')"), "[0.1,100,1e+300]", "R4 numbers are printed as short as possible")
for sql in ("persona_reward(NULL, '[1]')", "persona_reward('[1]', NULL)", "persona_vector(NULL)", "persona_json(NULL)", "persona_vector('[1]', NULL)"):
    eq(one(f"SELECT {sql}"), None, f"R5 {sql} is NULL")

embedding = (np.array([0.03, -0.05, 0.02, 0.07], np.float32)).tobytes()
fails(db, "SELECT persona_json(?)", "persona_json: argument 1 (vector): read as 2 f64 numbers all are below 0.001, read as 4 f32 numbers all are ordinary; say \"type\":\"f32\" or \"type\":\"f64\" (persona_vector(x, 'f32', 'f64') converts)", args=(embedding,))
eq(len(json.loads(one("SELECT persona_json(?, 'f32')", embedding))), 4, "the hint's way works")
eq(len(json.loads(one("SELECT persona_json(?, 'f64')", embedding))), 2, "an explicit f64 is believed")
tiny = np.array([1e-9, 2e-300, 0, 1e-5]).tobytes()
eq(len(json.loads(one("SELECT persona_json(?)", tiny))), 4, "a true f64 vector of tiny numbers is not refused")
for text in ("hi", "hello there", "Why is the sky blue?"):
    fails(db, "SELECT persona_json(text_embedding(?))", "persona_json: argument 1 (vector): read as 128 f64 numbers all are below 0.001, read as 256 f32 numbers all are ordinary; say \"type\":\"f32\" or \"type\":\"f64\" (persona_vector(x, 'f32', 'f64') converts)",
          f"a sparse embedding is seen for what it is: {text}", args=(text,))
fails(db, "SELECT adapt_user(text_embedding('rain falls'), text_embedding('snow melts'))", "adapt_user: row 1 of its group: argument 1 (chosen): read as 128 f64 numbers all are below 0.001, read as 256 f32 numbers all are ordinary; say \"type\":\"f32\" or \"type\":\"f64\" (persona_vector(x, 'f32', 'f64') converts)", "also where a user is learned from it")
for name, x in (("zeros", np.zeros(4)), ("round f64 numbers", 2.0 ** -np.arange(11, 15)), ("one tiny f64 among zeros", np.frombuffer(struct.pack("<3If", 0x3F800000, 0x3EE4F8B5, 0, 0))), ("denormal numbers", np.array([5e-324, 1e-320]))):
    eq(np.array(json.loads(one("SELECT persona_json(?)", x.tobytes()))).tobytes(), x.tobytes(), f"{name} are not taken for f32")

need = "; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"
fails(db, "SELECT persona_reward(1, '[1]')", "persona_reward: argument 1 (weights): an integer" + need)
fails(db, "SELECT persona_reward('[1]', 1.5)", "persona_reward: argument 2 (features): a real number" + need)
fails(db, "SELECT persona_reward('[1,2]', x'0011')", "persona_reward: argument 2 (features): a BLOB of 2 bytes where 2 numbers are expected; that is 16 bytes as f64 or 8 as f32")
fails(db, "SELECT persona_reward('[1,2]', '[1]')", "persona_reward: argument 2 (features): 1 numbers where 2 are expected")
fails(db, "SELECT persona_reward('[1,2', '[1]')", "persona_reward: argument 1 (weights): not JSON: it is cut off or wrong at its end (4 bytes)")
fails(db, "SELECT persona_reward('[1,\"a\"]', '[1]')", "persona_reward: argument 1 (weights): element 1 is text; a finite number is required")
fails(db, "SELECT persona_reward('[1,1e999]', '[1]')", "persona_reward: argument 1 (weights): element 1 is infinite; a finite number is required")
fails(db, "SELECT persona_reward('[]', '[1]')", "persona_reward: argument 1 (weights): an array of 0 numbers; a vector has 1 to 65536")
fails(db, "SELECT persona_reward('{}', '[1]')", "persona_reward: argument 1 (weights): an object; an array of numbers such as [1, 2.5] is required")
fails(db, "SELECT persona_reward(x'', '[1]')", "persona_reward: argument 1 (weights): an empty BLOB; a vector has at least one number")
fails(db, "SELECT persona_reward(x'000102', '[1]')", "persona_reward: argument 1 (weights): a BLOB of 3 bytes, which is no multiple of 8; f64 vectors are required")
fails(db, "SELECT persona_reward(?, '[1]')", "persona_reward: argument 1 (weights): element 0 is NaN; a finite number is required", args=(struct.pack("<d", float("nan")),))
fails(db, "SELECT persona_reward('[1]', ?)", "persona_reward: argument 2 (features): element 0 is infinite; a finite number is required", args=(struct.pack("<d", float("-inf")),))
fails(db, "SELECT persona_reward(zeroblob(800000), '[1]')", "persona_reward: argument 1 (weights): a vector of 100000 numbers; at most 65536 are supported")
fails(db, "SELECT persona_vector('[1]', 'f16')", "persona_vector: argument 2 (from): \"f16\"; 'f64' or 'f32' is required")
fails(db, "SELECT persona_vector('[1e300]', 'f64', 'f32')", "persona_vector: argument 1 (x): element 0 is 1e+300, which is too large for f32")
fails(db, "SELECT persona_json('[1] x')", "persona_json: argument 1 (vector): not JSON: unexpected text after the value at byte 4")
fails(db, "SELECT persona_json('[1' || char(0) || ']')", "persona_json: argument 1 (vector): a NUL byte at byte 2")
fails(db, "SELECT persona_json(CAST(x'5bff5d' AS TEXT))", "persona_json: argument 1 (vector): invalid UTF-8 at byte 1")

config = json.loads(one("SELECT persona_config()"))
eq(sorted(config), ["blas", "compiler", "cores", "kernel", "sqlite", "threads", "version"], "persona_config() lists what is loaded")
eq(config["version"], one("SELECT persona_version()"), "one version")
eq(one("SELECT persona_config('threads', 3)"), 3, "threads can be set")
eq(one("SELECT persona_config('threads')"), 3, "and stays set on this connection")
eq(json.loads(connect().execute("SELECT persona_config()").fetchone()[0])["threads"], config["threads"], "but not on another")
fails(db, "SELECT persona_config('treads')", 'persona_config: argument 1 (name): "treads"; one of version, threads, cores, blas, kernel, sqlite, compiler is required')
fails(db, "SELECT persona_config('threads', -1)", "persona_config: argument 2 (value): a whole number of threads from 1 to 256, or 0 for the number of cores, is required")
fails(db, "SELECT persona_config('blas', 1)", 'persona_config: argument 1 (name): "blas" can be read but not set; only threads can be set')
done()
