"""prompts, responses, reward_models: the persistent tables (rules of vt_prompts.c and vt_responses.c)."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

db = connect()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def f64(*x):
    return struct.pack(f"<{len(x)}d", *x)


def f32(*x):
    return struct.pack(f"<{len(x)}f", *x)


db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts()")
db.execute('CREATE VIRTUAL TABLE responses USING persona_responses(a, "b c")')
eq(db.execute("SELECT position, name, mean, sd FROM reward_models").fetchall(), [(1, "a", 0.0, 1.0), (2, "b c", 0.0, 1.0)], "R2 CREATE makes reward_models")
db.execute("INSERT INTO prompts VALUES(7, 'train', 'src', 'hello', '[1,2,3]')")
eq(db.execute("SELECT * FROM prompts").fetchall(), [(7, "train", "src", "hello", f32(1, 2, 3))], "a prompt comes back, its embedding as f32")
db.execute("INSERT INTO responses(prompt_id, position, model, text, a, \"b c\") VALUES(7, 1, 'm', 'hi', 1, 2.5)")
db.execute("INSERT INTO responses(prompt_id, position, raw_rewards) VALUES(7, 2, '[3, 4]')")
db.execute("INSERT INTO responses(prompt_id, position, a) VALUES(7, 3, 5)")
db.execute("UPDATE reward_models SET mean = 1, sd = 2")
eq(db.execute("SELECT * FROM responses").fetchall(), [(1, 7, 1, "m", "hi", f64(0, .75), f64(1, 2.5), None, 1.0, 2.5), (2, 7, 2, None, None, f64(1, 1.5), f64(3, 4), None, 3.0, 4.0), (3, 7, 3, None, None, None, None, None, 5.0, None)], "R2 R3 W1 responses come back, rewards standardised, partial scores kept")
done()
