"""svg_chart.py - lines and bars as SVG, of the standard library alone, for scripts/bench-pages.

A chart is drawn for light and for dark backgrounds in one file: the reader's preference decides, by a
media query, so that a page needs one picture. Series differ by colour and by dash or marker as well.
"""
import math
from xml.sax.saxutils import escape

WIDTH = 760
MARGIN = 24
FONT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'

# Background, text, muted text, grid; then the series.
LIGHT = ('#ffffff', '#1f2328', '#59636e', '#d8dee4',
         ('#0a62c9', '#c4500a', '#1a7f37', '#8250df', '#b0307e', '#6e7781', '#8a6a00'))
DARK = ('#0d1117', '#f0f6fc', '#9aa4af', '#2b323b',
        ('#5aabff', '#f5924a', '#4cc262', '#bf95ff', '#ff7fc0', '#9aa4af', '#d9b23a'))
DASHES = ('', '7 4', '2 3', '9 3 2 3', '4 2', '1 4', '12 4')
COLOURS = len(LIGHT[4])


def rules(theme):
    back, text, muted, grid, series = theme
    yield f'.back{{fill:{back}}} .text{{fill:{text}}} .muted{{fill:{muted}}}'
    yield f'.grid{{stroke:{grid}}} .axis{{stroke:{muted}}}'
    for i, colour in enumerate(series):
        yield f'.l{i}{{stroke:{colour};fill:none}} .f{i}{{fill:{colour}}}'


def style():
    return ('<style>' + ' '.join(rules(LIGHT)) + ' @media (prefers-color-scheme: dark) { ' +
            ' '.join(rules(DARK)) + ' }</style>')


def width_of(text, size):
    """About so wide is a text; letters are not measured."""
    return len(text) * size * 0.56


def text(x, y, what, size=12, kind='text', anchor='start', weight=None):
    bold = f' font-weight="{weight}"' if weight else ''
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" font-size="{size}"{bold} '
            f'text-anchor="{anchor}">{escape(what)}</text>')


def short(value):
    """A number of three digits or so: 1.2 M, 35 k, 0.25."""
    for unit, name in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')):
        if abs(value) >= unit:
            return f'{value / unit:.3g}{name}'
    return f'{value:.3g}'


class Axis:
    def __init__(self, label, log=False, low=None, high=None, form=short):
        self.label, self.log, self.low, self.high, self.form = label, log, low, high, form

    def fit(self, values):
        low = min(values) if self.low is None else self.low
        high = max(values) if self.high is None else self.high
        if self.log:
            assert low > 0, 'a logarithm of nothing'
            self.range = math.log10(low), math.log10(high)
        else:
            self.range = low, high
        if self.range[1] - self.range[0] < 1e-12:  # a single value
            self.range = self.range[0] - (0.1 if self.log else 0.5), self.range[1] + (0.1 if self.log else 0.5)
        self.ticks = self.log_ticks() if self.log else self.linear_ticks()
        # The outermost ticks are the ends, where no ends were asked for.
        if self.ticks and not self.log:
            step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 0
            first, last = self.range
            if self.low is None and self.ticks[0] > first:
                self.ticks.insert(0, self.ticks[0] - step)
            if self.high is None and self.ticks[-1] < last:
                self.ticks.append(self.ticks[-1] + step)
            self.range = min(first, self.ticks[0]), max(last, self.ticks[-1])

    def linear_ticks(self):
        low, high = self.range
        raw = (high - low) / 5
        unit = 10 ** math.floor(math.log10(raw))
        step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
        first = math.ceil(low / step - 1e-9)
        return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]

    def log_ticks(self):
        low, high = self.range
        marks = (1, 2, 5) if high - low < 2.2 else (1,)
        self.range = low - 0.03 * (high - low), high + 0.03 * (high - low)
        ticks = [m * 10.0 ** e for e in range(math.floor(low) - 1, math.ceil(high) + 1) for m in marks]
        return [t for t in ticks if self.range[0] - 1e-9 <= math.log10(t) <= self.range[1] + 1e-9]

    def place(self, value):
        value = math.log10(value) if self.log else value
        return (value - self.range[0]) / (self.range[1] - self.range[0])


class Series:
    """Points are pairs; colour is a place in the palette. rule: a level line across, without points."""

    def __init__(self, name, points, colour, marks=False, rule=False):
        self.name, self.points, self.colour, self.marks, self.rule = name, points, colour % COLOURS, marks, rule


def frame(title, note, height, parts):
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" {FONT}>',
        f'<title>{escape(title)}</title>', f'<desc>{escape(note)}</desc>', style(),
        f'<rect class="back" width="{WIDTH}" height="{height:.0f}" rx="8"/>',
        text(MARGIN, 34, title, 17, weight=600), text(MARGIN, 54, note, 12, 'muted')] + parts + ['</svg>', ''])


def legend(items, y, draw):
    """A row of names, or several; answers the parts and the y below them."""
    parts, x = [], MARGIN
    for item in items:
        wide = 30 + width_of(item.name, 12) + 18
        if x + wide > WIDTH - MARGIN and x > MARGIN:
            x, y = MARGIN, y + 18
        parts += draw(item, x, y)
        parts.append(text(x + 30, y + 4, item.name))
        x += wide
    return parts, y + 18


def line_swatch(series, x, y):
    dash = f' stroke-dasharray="{DASHES[series.colour]}"' if DASHES[series.colour] else ''
    thin = 1.2 if series.rule else 2
    parts = [f'<path class="l{series.colour}" stroke-width="{thin}"{dash} d="M{x:.1f} {y:.1f}h24"/>']
    if series.marks:
        parts.append(f'<circle class="f{series.colour}" cx="{x + 12:.1f}" cy="{y:.1f}" r="3.2"/>')
    return parts


def lines(title, note, x_axis, y_axis, series):
    """Series over two axes."""
    series = [s for s in series if s.points]
    parts, top = legend(series, 76, line_swatch)
    top += 26
    left, right, bottom = MARGIN + 40, WIDTH - MARGIN, top + 270
    x_axis.fit([x for s in series for x, _ in s.points])
    y_axis.fit([y for s in series for _, y in s.points])

    def at(x, y):
        return left + x_axis.place(x) * (right - left), bottom - y_axis.place(y) * (bottom - top)

    parts.append(text(MARGIN, top - 12, y_axis.label, 12, 'muted'))
    for tick in y_axis.ticks:
        y = bottom - y_axis.place(tick) * (bottom - top)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(text(left - 8, y + 4, y_axis.form(tick), 12, 'muted', 'end'))
    for tick in x_axis.ticks:
        x = left + x_axis.place(tick) * (right - left)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v5"/>')
        parts.append(text(x, bottom + 20, x_axis.form(tick), 12, 'muted', 'middle'))
    parts.append(f'<path class="axis" d="M{left} {bottom}H{right}"/>')
    parts.append(text((left + right) / 2, bottom + 42, x_axis.label, 12, 'muted', 'middle'))
    # The first series is the subject, and lies on top.
    for s in reversed(series):
        parts += curve(s, at, left, right)
    return frame(title, note, bottom + 60, parts)


def curve(s, at, left, right):
    dash = f' stroke-dasharray="{DASHES[s.colour]}"' if DASHES[s.colour] else ''
    if s.rule:
        y = at(*s.points[0])[1]
        return [f'<path class="l{s.colour}" stroke-width="1.2"{dash} d="M{left} {y:.1f}H{right}"/>']
    points = [at(x, y) for x, y in s.points]
    path = 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points)
    parts = [f'<path class="l{s.colour}" stroke-width="2" stroke-linejoin="round"{dash} d="{path}"/>']
    if s.marks or len(points) == 1:
        parts += [f'<circle class="f{s.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>' for x, y in points]
    return parts


class Bar:
    """value is None where nothing was measured: then there is no bar, and no name for it either."""

    def __init__(self, value, label, colour):
        self.value, self.label, self.colour = value, label, colour % COLOURS


class Group:
    def __init__(self, name, bars):
        self.name, self.bars = name, [bar for bar in bars if bar.value is not None]


class Key:
    def __init__(self, name, colour):
        self.name, self.colour = name, colour % COLOURS


def bar_swatch(key, x, y):
    return [f'<rect class="f{key.colour}" x="{x + 8:.1f}" y="{y - 6:.1f}" width="14" height="11" rx="2"/>']


def bars(title, note, axis, groups, keys=()):
    """Groups of bars, one below the other, each with its figure at its end."""
    groups = [g for g in groups if g.bars]
    parts, top = legend(keys, 76, bar_swatch) if keys else ([], 68)
    left = MARGIN + max(width_of(g.name, 12) for g in groups) + 10
    room = max(width_of(bar.label, 11) for g in groups for bar in g.bars) + 8
    right = WIDTH - MARGIN - room
    if axis.low is None and not axis.log:
        axis.low = 0
    axis.fit([bar.value for g in groups for bar in g.bars])
    thick, y, drawn = (12 if keys else 18), top + 8, []
    for g in groups:
        middle = y + len(g.bars) * (thick + 2) / 2
        drawn.append(text(left - 10, middle + 3, g.name, 12, 'text', 'end'))
        for bar in g.bars:
            long = max(axis.place(bar.value) * (right - left), 1)
            drawn.append(f'<rect class="f{bar.colour}" x="{left:.1f}" y="{y:.1f}" width="{long:.1f}" '
                         f'height="{thick}" rx="2"/>')
            drawn.append(text(left + long + 6, y + thick / 2 + 4, bar.label, 11, 'muted'))
            y += thick + 2
        y += 12
    bottom = y - 4
    for tick in axis.ticks:
        x = left + axis.place(tick) * (right - left)
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom:.1f}"/>')
        parts.append(text(x, bottom + 16, axis.form(tick), 12, 'muted', 'middle'))
    parts += drawn
    parts.append(f'<path class="axis" d="M{left:.1f} {top}V{bottom:.1f}"/>')
    parts.append(text((left + right) / 2, bottom + 38, axis.label, 12, 'muted', 'middle'))
    return frame(title, note, bottom + 54, parts)
