"""The benchmark's harness: what all jobs share.  See ../bench.py."""
