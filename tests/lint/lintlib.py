# lintlib.py - what the checks of this folder share: the list of files, and how findings are told.
#
# A check prints one line per finding, `file:line: what`, and exits with 1 if there was one. Where
# its tool is missing it says so and exits with 77, which Meson counts as skipped.

import argparse
import os
import subprocess
import sys

# Text that is not ours to tidy: bytes that tests compare.
DATA = ('tests/golden/', 'tests/data/', 'tests/seeds/', 'fuzz/corpus/')
C_FOLDERS = ('include', 'base', 'io', 'wal', 'lsm', 'spfresh', 'recovery', 'db', 'crash', 'tools',
             'server', 'tests', 'fuzz', 'bench', 'examples')


def parser(description):
    """Every check takes --root, so that the self-test can hand it a bad little tree."""
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=description)
    p.add_argument('--root', default=os.path.dirname(os.path.dirname(here)))
    return p


def skip(reason):
    print('skipped: ' + reason)
    sys.exit(77)


def tree(root):
    """All files of the project as sorted paths from the root: what git knows or has not been told
    to ignore; outside git all but build folders and hidden ones."""
    try:
        listed = subprocess.run(
            ['git', '-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard',
             '--deduplicate'],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        top = subprocess.run(['git', '-C', root, 'rev-parse', '--show-toplevel'],
                             stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        if os.path.realpath(top) == os.path.realpath(root):
            names = [n for n in listed.decode().split('\0') if n]
            return sorted(n for n in names if os.path.isfile(os.path.join(root, n)))
    except (OSError, subprocess.CalledProcessError):
        pass
    found = []
    for folder, folders, names in os.walk(root):
        at_top = folder == root
        folders[:] = [f for f in folders
                      if f not in ('.git', '__pycache__')
                      and not (at_top and (f.startswith('build') or f == 'subprojects'))]
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(found)


def c_files(root, endings=('.c', '.h')):
    return [n for n in tree(root)
            if n.endswith(endings) and n.split('/')[0] in C_FOLDERS and not n.startswith(DATA)]


def is_text(data):
    return b'\0' not in data[:8192]


def read(root, name):
    with open(os.path.join(root, name), 'rb') as f:
        return f.read()


def read_text(root, name):
    return read(root, name).decode('utf-8', 'replace')


class Findings:
    def __init__(self):
        self.count = 0

    def add(self, name, line, what):
        self.count += 1
        print(f'{name}:{line}: {what}')

    def done(self):
        sys.stdout.flush()
        sys.exit(1 if self.count else 0)
