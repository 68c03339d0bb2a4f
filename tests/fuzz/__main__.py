"""Coverage-guided fuzzing of what arrives from elsewhere: `python -m tests.fuzz TARGET [--seconds N]`.

Needs atheris, which is no dependency of this project: install it into an environment of your own. An input that breaks
something is left beside the corpus as crash-…; it becomes a test in tests/sync/test_hostile_verbs.py.
"""

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=["bundle", "message", "request", "manifest", "refusal"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed here: `pip install atheris` into an environment of your own")
    with atheris.instrument_imports(include=["sync", "msgspec", "zstandard"]):
        from tests.fuzz.targets import opened
    corpus = asked.corpus / asked.target
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as targets:
        target, seeds = targets[asked.target]
        for number, seed in enumerate(seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        options = [
            f"-max_total_time={asked.seconds}",
            f"-artifact_prefix={corpus}/crash-",
            "-max_len=8192",
            "-timeout=20",
        ]
        atheris.Setup([sys.argv[0], *options, "-rss_limit_mb=1024", str(corpus)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
