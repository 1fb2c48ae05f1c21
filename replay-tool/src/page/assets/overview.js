// The strip above the lanes: how many runs were open at a time, and where refusals and failures are. Under it the axis, with
// the supervisor's own lane.
const overview = document.getElementById('overview');
const axis = document.getElementById('axis');
const SESSION_TOP = 30, SESSION_HEIGHT = 12;

// Sums of what happened in each of so many equal parts of the whole time.
let binned = null;

function bins(count) {
  if (binned?.count === count) return binned;
  const part = (at) => Math.min(count - 1, Math.max(0, Math.floor((at - whole.from) / (whole.to - whole.from) * count)));
  const [open, refused, failed] = [new Int32Array(count + 1), new Int32Array(count), new Int32Array(count)];
  for (const run of runs) {
    for (const segment of run.segments) {
      if (IS_OPEN.has(segment.look)) {
        open[part(segment.from)] += 1;
        open[part(segment.to) + 1] -= 1;
      } else if (!segment.began && (segment.look === 'failed' || segment.look === 'bad')) failed[part(segment.from)] += 1;
    }
  }
  for (const entry of refusedEntries) refused[part(entries.time[entry])] += 1;
  let sum = 0;
  const level = open.slice(0, count).map((change) => (sum += change));
  binned = { count, level, refused, failed, most: Math.max(1, ...level) };
  return binned;
}

function paintOverview() {
  const { brush, width, height } = fitted(overview);
  if (width < 8) return;
  const count = Math.floor(width / 2);
  const { level, refused, failed, most } = bins(count);
  const [top, floor] = [14, height - 8];
  const x = (at) => (at - whole.from) / (whole.to - whole.from) * width;
  paintGaps(brush, x, 0, floor);
  brush.beginPath();
  brush.moveTo(0, floor);
  level.forEach((open, part) => {
    const y = floor - open / most * (floor - top);
    brush.lineTo(part * 2, y);
    brush.lineTo(part * 2 + 2, y);
  });
  brush.lineTo(width, floor);
  brush.closePath();
  brush.fillStyle = colors.area;
  brush.fill();
  brush.fillStyle = colors.rule;
  brush.fillRect(0, floor, width, 1);
  paintCounts(brush, failed, colors.failed, (part, share) => brush.fillRect(part * 2, floor + 2, 2, 2 + 4 * share));
  const isSparse = refused.reduce((parts, some) => parts + (some > 0), 0) < count / 10;
  paintCounts(brush, refused, colors.refused, (part, share) => {
    if (!isSparse) {
      brush.fillRect(part * 2, 0, 2, 2 + 9 * share);
      return;
    }
    shape(brush, 'refused', part * 2 + 1, 6, 4.5);
    brush.fill();
  });
  paintWindow(brush, x(view.from), x(view.to), width, height);
}

// Draws for each part where something happened, with how much of the most it is.
function paintCounts(brush, counts, color, draw) {
  const most = counts.reduce((one, other) => Math.max(one, other), 1);
  brush.fillStyle = color;
  counts.forEach((some, part) => {
    if (some) draw(part, some / most);
  });
}

// What is looked at stands out; the rest is veiled.
function paintWindow(brush, from, to, width, height) {
  if (isWhole()) return;
  brush.fillStyle = colors.paper;
  brush.globalAlpha = 0.66;
  brush.fillRect(0, 0, from, height);
  brush.fillRect(to, 0, width - to, height);
  brush.globalAlpha = 1;
  brush.strokeStyle = colors.accent;
  brush.lineWidth = 1.5;
  brush.strokeRect(from, 0.75, Math.max(to - from, 2), height - 1.5);
}

// When nobody wrote, because the supervisor had crashed or had closed the journal.
function paintGaps(brush, x, top, bottom) {
  for (const { from, to, ended } of sessions.gaps()) {
    const [left, right] = [x(from), x(to)];
    brush.fillStyle = hatch(brush, ended === 'closed' ? colors.rule : colors.crash, 8);
    brush.fillRect(left, top, Math.max(right - left, 1.5), bottom - top);
  }
}

const xOf = (width) => {
  const scale = width / (view.to - view.from);
  return (at) => (at - view.from) * scale;
};

function paintAxis() {
  const { brush, width, height } = fitted(axis);
  const x = xOf(width);
  const { ticks } = ticksOf(view.from, view.to, width);
  brush.font = '11px system-ui, sans-serif';
  brush.textBaseline = 'alphabetic';
  brush.textAlign = 'left';
  for (const tick of ticks) {
    const at = Math.round(x(tick.at)) + 0.5;
    brush.fillStyle = colors['rule-strong'];
    brush.fillRect(at - 0.5, 14, 1, height - 14);
    brush.fillStyle = colors.dim;
    brush.fillText(tick.label, at + 4, 24);
    if (tick.day) {
      brush.fillStyle = colors.ink;
      brush.fillText(tick.day, at + 4, 11);
    }
  }
  for (const session of sessions.list) paintSession(brush, session, x, width);
  for (const { ended, to } of sessions.list) {
    if (ended === 'crashed') mark(brush, 'failed', x(to), SESSION_TOP + SESSION_HEIGHT / 2, 5);
  }
  if (view.hover !== null) paintHover(brush, x, width);
}

function paintSession(brush, session, x, width) {
  const [from, to] = [Math.max(x(session.from), -4), Math.min(x(session.to), width + 4)];
  if (to < 0 || from > width) return;
  const wide = Math.max(to - from, 2);
  brush.fillStyle = colors.tint;
  brush.fillRect(from, SESSION_TOP, wide, SESSION_HEIGHT);
  brush.fillStyle = colors.accent;
  brush.fillRect(from, SESSION_TOP, 2, SESSION_HEIGHT);
  if (session.ended === 'closed') brush.fillRect(to - 2, SESSION_TOP, 2, SESSION_HEIGHT);
  if (wide > 70) {
    brush.save();
    brush.beginPath();
    brush.rect(from, SESSION_TOP, wide - 8, SESSION_HEIGHT);
    brush.clip();
    brush.fillStyle = colors.ink;
    brush.font = '10px system-ui, sans-serif';
    brush.fillText(`${session.pid === null ? 'opened before' : `pid ${session.pid}`}${ENDED[session.ended]}`, Math.max(from, 0) + 12, SESSION_TOP + 9.5);
    brush.restore();
  }
}

const ENDED = { closed: '', crashed: ', crashed', open: '', gone: ', not closed' };

function paintHover(brush, x, width) {
  const at = x(view.hover);
  const text = clock(view.hover, (view.to - view.from) / width);
  brush.font = '11px system-ui, sans-serif';
  const wide = brush.measureText(text).width + 10;
  const left = Math.min(Math.max(at - wide / 2, 0), width - wide);
  brush.fillStyle = colors.ink;
  brush.fillRect(left, 0, wide, 15);
  brush.fillStyle = colors.card;
  brush.fillText(text, left + 5, 11);
}

// The session under a place of the axis, as the entry that tells of it.
function sessionAt(x, y) {
  if (y < SESSION_TOP - 2) return null;
  const at = view.from + x / axis.clientWidth * (view.to - view.from);
  const reach = 6 / axis.clientWidth * (view.to - view.from);
  const session = sessions.list.findLast(({ from, to }) => at >= from - reach && at <= to + reach);
  if (!session) return null;
  const atEnd = session.end !== null && Math.abs(at - session.to) < Math.abs(at - session.from);
  return { session, entry: atEnd ? session.end : session.entry };
}

painters.push(paintOverview, paintAxis);
