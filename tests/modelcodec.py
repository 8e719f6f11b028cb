"""Models as bytes, written from the layout in include/personalllm/model.h and from nothing else."""
import json
import struct

KINDS = {"prior": 1, "pooled": 2, "lore": 3, "svd": 4, "maml": 5, "neighbors": 6, "posterior": 7, "student": 8, "text_student": 9, "classes": 10}
M = (1 << 64) - 1


def checksum(blob):
    def step(h, word):
        h = ((h ^ word) * 0x9E3779B97F4A7C15) & M
        return h ^ h >> 32
    words = list(struct.unpack(f"<{len(blob) // 8}Q", blob[:len(blob) // 8 * 8]))
    words[3] = 0
    lanes, h = [1, 2, 3, 4], len(blob)
    for i, word in enumerate(words):
        lanes[i % 4] = step(lanes[i % 4], word)
    for lane in lanes:
        h = step(h, lane)
    return step(h, blob[-1])


def pad(b):
    return b + bytes(-len(b) % 8)


def seal(blob):
    blob = blob[:16] + struct.pack("<QQ", len(blob), 0) + blob[32:]
    return blob[:24] + struct.pack("<Q", checksum(blob)) + blob[32:]


def encode(kind, dim, sections, rank=0, features=(), outputs=(), options="{}", seed=0, flags=0, users=0, users_skipped=0,
           rows=0, rows_skipped=0, objective=0.0, iterations=0, version=1):
    """sections: [(name, rows, columns, numbers)]"""
    names = b"".join(struct.pack("<I", len(n.encode())) + n.encode() for n in list(features) + list(outputs))
    head = b"PLLMODEL" + struct.pack("<II", version, KINDS.get(kind, kind)) + bytes(16)
    head += struct.pack("<8I", dim, rank, len(features), len(outputs), len(options.encode()), len(sections), seed, flags)
    head += struct.pack("<4QdII", users, users_skipped, rows, rows_skipped, objective, iterations, 0)
    body = b"".join(n.encode().ljust(16, b"\0") + struct.pack("<II", r, c) + struct.pack(f"<{r * c}d", *x) for n, r, c, x in sections)
    return seal(head + pad(names) + pad(options.encode()) + body + b"\xA5")


def decode(blob):
    assert blob[:8] == b"PLLMODEL" and len(blob) % 8 == 1 and blob[-1] == 0xA5
    version, kind, length, claim = struct.unpack_from("<IIQQ", blob, 8)
    assert length == len(blob) and claim == checksum(blob)
    dim, rank, n_features, n_outputs, n_options, n_sections, seed, flags = struct.unpack_from("<8I", blob, 32)
    users, users_skipped, rows, rows_skipped, objective, iterations, zero = struct.unpack_from("<4QdII", blob, 64)
    at, names = 112, []
    for _ in range(n_features + n_outputs):
        n, = struct.unpack_from("<I", blob, at)
        names.append(blob[at + 4:at + 4 + n].decode())
        at += 4 + n
    at = (at + 7) // 8 * 8
    options = json.loads(blob[at:at + n_options])
    at += (n_options + 7) // 8 * 8
    sections = {}
    for _ in range(n_sections):
        r, c = struct.unpack_from("<II", blob, at + 16)
        import numpy as np
        sections[blob[at:at + 16].rstrip(b"\0").decode()] = np.frombuffer(blob, "<f8", r * c, at + 24).reshape(r, c)
        at += 24 + 8 * r * c
    assert at == len(blob) - 1 and zero == 0
    return dict(version=version, kind=next(k for k, v in KINDS.items() if v == kind), dim=dim, rank=rank, features=names[:n_features],
                outputs=names[n_features:], options=options, seed=seed, flags=flags, users=users, users_skipped=users_skipped,
                rows=rows, rows_skipped=rows_skipped, objective=objective, iterations=iterations, sections=sections)
