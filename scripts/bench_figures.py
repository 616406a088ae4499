"""bench_figures.py - the machine that figures were taken on, and those of bench_kv as Markdown.

What scripts/bench-report and scripts/bench-pages share.
"""
import os
import platform
import statistics
import subprocess

# The aims, as bench_kv's own tables have them: Freshet over the best of these.
LSM = ('rocksdb', 'rocksdb-blob', 'leveldb')


def lines_of(path, key):
    try:
        with open(path) as file:
            return [line.split(':', 1)[1].strip() for line in file if line.startswith(key)]
    except OSError:
        return []


def file_system(path):
    """The type of the mount that a path lies on."""
    path, best = os.path.realpath(path), ('', 'a file system')
    try:
        with open('/proc/self/mounts') as file:
            mounts = [line.split() for line in file]
    except OSError:
        mounts = []
    for _, where, kind, *_ in mounts:
        if (path + '/').startswith(where.rstrip('/') + '/') and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]


def machine_of(store):
    memory = lines_of('/proc/meminfo', 'MemTotal')
    processor = lines_of('/proc/cpuinfo', 'model name') or [platform.machine()]
    return {
        'processor': processor[0],
        'processors': os.cpu_count(),
        'memory_bytes': int(memory[0].split()[0]) * 1024 if memory else 0,
        'system': platform.system() + ' ' + platform.release(),
        'virtual': any(' hypervisor' in flags for flags in lines_of('/proc/cpuinfo', 'flags')),
        'file_system': file_system(store),
        'load': os.getloadavg()[0],
    }


def machine_line(machine):
    return '{} processors ({}{}), {:.0f} GB of memory, {}, {}; load {:.1f} at the end.'.format(
        machine['processors'], machine['processor'], ', virtual' if machine['virtual'] else '',
        machine['memory_bytes'] / 1e9, machine['system'], machine['file_system'], machine['load'])


def commit_here():
    """Of the tree that this script is in; '' where there is no git."""
    try:
        return subprocess.run(['git', 'describe', '--always', '--dirty'], text=True, check=True,
                              cwd=os.path.dirname(os.path.abspath(__file__)),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


class Figures:
    def __init__(self, run):
        self.run = run
        self.cells = {}
        for result in run['results']:
            self.cells.setdefault((result['workload'], result['engine']), []).append(result)
        self.workloads = list(dict.fromkeys(result['workload'] for result in run['results']))
        self.engines = list(dict.fromkeys(result['engine'] for result in run['results']))

    def median(self, workload, engine, figure):
        """Of the repeats, or None where there is no result."""
        found = [figure(result) for result in self.cells.get((workload, engine), [])]
        return statistics.median(found) if found else None

    def ratio(self, workload, engines):
        """Freshet's rate over the best of these engines, repeat by repeat; the median."""
        ours = self.cells.get((workload, 'freshet'), [])
        theirs = [self.cells.get((workload, engine), []) for engine in engines]
        ratios = []
        for i, result in enumerate(ours):
            best = max((cell[i]['ops_per_second'] for cell in theirs if i < len(cell)), default=0)
            if best > 0:
                ratios.append(result['ops_per_second'] / best)
        return statistics.median(ratios) if ratios else None


def table(head, rows):
    yield '| ' + ' | '.join(head) + ' |'
    yield '|---' * len(head) + '|'
    for row in rows:
        yield '| ' + ' | '.join(row) + ' |'


def show(value, form):
    return '-' if value is None else form.format(value)


def rates(figures):
    plain = [engine for engine in figures.engines if '+' not in engine and engine != 'freshet']
    lsm = [engine for engine in plain if engine in LSM]
    rows = []
    for workload in figures.workloads:
        row = [workload]
        for engine in figures.engines:
            row.append(show(figures.median(workload, engine, lambda r: r['ops_per_second']), '{:,.0f}'))
            if any(result['cut'] for result in figures.cells.get((workload, engine), [])):
                row[-1] += ' c'
        row.append(show(figures.ratio(workload, lsm), '{:.2f}'))
        row.append(show(figures.ratio(workload, plain), '{:.2f}'))
        rows.append(row)
    return table(['workload'] + figures.engines + ['over the best LSM', 'over the best'], rows)


def other(figures, title, figure, form, workloads):
    rows = []
    for workload in workloads:
        cells = [figures.median(workload, engine, figure) for engine in figures.engines]
        if any(cell for cell in cells if cell is not None):
            rows.append([workload] + [show(cell, form) for cell in cells])
    if rows:
        yield ''
        yield from table([title] + figures.engines, rows)


def per(what, by):
    return lambda result: result[what] / result[by] if result[by] else 0


def render(run, machine, command, commit):
    figures = Figures(run)
    writes = [w for w in figures.workloads if w not in ('reopen', 'reopenlog')]
    versions = ', '.join(name + ' ' + version for name, version in run['versions'].items()
                         if '+' not in name)
    yield '{:,} keys of 16 B, values of {} B ({}), cache of {} MiB, compression {}; repeats: {}, the median is told.'.format(
        run['keys'], run['value_size'], run['values'], run['cache_bytes'] >> 20, run['compression'],
        run['repeats'])
    yield machine_line(machine)
    if run['disk_reads_per_second'] > 0:
        yield 'The disk: {:,.0f} random reads of 4 KiB per second at depth 64.'.format(
            run['disk_reads_per_second'])
    yield 'Versions: {}{}.'.format(versions, ', commit ' + commit if commit else '')
    yield ''
    yield '```sh'
    yield command
    yield '```'
    yield ''
    yield 'Operations per second; c: cut by the limit of time in one repeat at least.'
    yield ''
    yield from rates(figures)
    for title, figure, form in (
            ('bytes stored per byte put', per('stored_bytes', 'put_bytes'), '{:.2f}'),
            ('bytes on disk per live byte, settled', lambda r: r['space_amplification'], '{:.2f}'),
            ('the same without logs', lambda r: r['space_amplification_without_logs'], '{:.2f}'),
            ('seconds to settle', lambda r: r['settle_ns'] / 1e9, '{:.1f}')):
        yield from other(figures, title, figure, form, writes)
    yield from other(figures, 'p50, ms', lambda r: r['p50_ns'] / 1e6, '{:,.1f}',
                     [w for w in figures.workloads if w in ('reopen', 'reopenlog')])
    yield from other(figures, 'p99, us', lambda r: r['p99_ns'] / 1e3, '{:,.1f}', figures.workloads)
    yield from other(figures, 'peak resident memory, MiB', lambda r: r['peak_bytes'] / 2**20, '{:,.0f}',
                     figures.workloads)
