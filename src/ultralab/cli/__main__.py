"""``python -m ultralab.cli``: the same as the command ``ultralab``."""

from ultralab.cli.main import main

if __name__ == "__main__":
    main()
