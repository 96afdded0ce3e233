"""``python -m pytest_kinda.cli``: the command ``kinda`` where no script of that name is on PATH."""

from pytest_kinda.cli.commands import kinda

if __name__ == "__main__":
    kinda(prog_name="kinda")
