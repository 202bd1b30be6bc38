"""The table of features against PyTorch, Keras and scikit-learn's MLP, from what is registered.

``python docs/features.py`` writes docs/features.md and the short table of README.md; a test runs
it with ``--check``. The peers' columns are in docs/peers.json: by our name theirs, "" where they
have none. Whatever is registered and not in that file is an error, so that the table stays whole.
"""

import json
import sys
from pathlib import Path

from cymlp import callbacks, initializers, layers, losses, metrics, optimizers, schedules

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("PyTorch", "Keras", "scikit-learn")
BEGIN, END = "<!-- features: python docs/features.py -->", "<!-- end of features -->"


def registered():
    """Kind of feature -> names of all that the package has of it."""
    def classes(module, *apart):
        found = {name for name in module.__all__ if isinstance(getattr(module, name), type)}
        return sorted(found - set(apart), key=str.lower)

    return {
        "layers": sorted({*classes(layers, "Layer"), "SwiGLU"}, key=str.lower),
        "activations": sorted(layers.activation_rows()),
        "losses": classes(losses, "Loss", "PointwiseLoss"),
        "optimizers": sorted({*classes(optimizers, "Optimizer", "TableOptimizer"), "AMSGrad"},
                             key=str.lower),
        "schedules": classes(schedules, "Schedule"),
        "initializers": classes(initializers, "Initializer"),
        "metrics": classes(metrics, "Metric"),
        "callbacks": classes(callbacks, "Callback"),
    }


def tables():
    """The whole table and the short one, as Markdown."""
    peers = json.loads((ROOT / "docs" / "peers.json").read_text())
    whole, short = [], [f"| | cymlp | {' | '.join(PEERS)} |", "|---|---|" + "---:|" * len(PEERS)]
    for kind, names in registered().items():
        known = peers.get(kind, {})
        if missing := sorted(set(names) - set(known)):
            raise SystemExit(f"docs/peers.json: no line for {', '.join(missing)} in {kind!r}; "
                             f"write what {', '.join(PEERS)} call it, \"\" where they have none")
        if unknown := sorted(set(known) - set(names)):
            raise SystemExit(f"docs/peers.json: {', '.join(unknown)} in {kind!r} is not "
                             "registered")
        whole += [f"## {kind.capitalize()}", "", f"| cymlp | {' | '.join(PEERS)} |",
                  "|---" * (1 + len(PEERS)) + "|"]
        whole += [f"| {name} | {' | '.join(known[name])} |" for name in names]
        whole += [""]
        counts = [f"{sum(bool(known[name][i]) for name in names)} of {len(names)}"
                  for i in range(len(PEERS))]
        short.append(f"| {kind} | {', '.join(names)} | {' | '.join(counts)} |")
    return "\n".join(whole), "\n".join(short)


def main(check):
    whole, short = tables()
    page = ROOT / "docs" / "features.md"
    text = ("# Features\n\nWhat cymlp has, and what it is called elsewhere (empty: not there). "
            "Written by `docs/features.py` from what is registered.\n\n" + whole)
    readme = (ROOT / "README.md").read_text()
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    wanted = f"{head}{BEGIN}\n{short}\n{END}{tail}"
    if check:
        stale = [name for name, now, then in (("README.md", readme, wanted),
                                              ("docs/features.md", page.read_text(), text))
                 if now != then]
        if stale:
            raise SystemExit(f"{' and '.join(stale)}: not what is registered; run "
                             "`python docs/features.py`")
        return
    page.write_text(text)
    (ROOT / "README.md").write_text(wanted)


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
