#!/bin/sh
# Is there a Python that can run the set-up? Says what to install where there is none.
command -v "$1" >/dev/null 2>&1 && "$1" -c "" >/dev/null 2>&1 && exit 0
cat >&2 <<END
No working $1 was found. Install Python 3 (3.11 or newer saves a download), then try again:
  macOS:           xcode-select --install   (or: brew install python)
  Debian, Ubuntu:  sudo apt install python3 python3-pip
  Fedora:          sudo dnf install python3 python3-pip
END
exit 1
