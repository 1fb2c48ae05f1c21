// Colours and shapes. Every status has a shape of its own beside its colour.
const colors = {};
const COLORS = [...LOOKS.map((look) => look.key), 'refused', 'snapshot', 'ink', 'dim', 'rule', 'rule-strong', 'paper',
  'card', 'accent', 'tint', 'crash', 'area', 'waiting-line'];

function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of COLORS) colors[name] = style.getPropertyValue(`--${name}`).trim();
  hatches.clear();
}

// A canvas in the size that it has on the page, in the pixels of the screen.
function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const brush = canvas.getContext('2d');
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, width, height);
  return { brush, width, height };
}

const hatches = new Map();

// Slanted lines in a colour: what waits, and when nobody wrote.
function hatch(brush, color, apart) {
  const key = `${color} ${apart}`;
  if (!hatches.has(key)) {
    const tile = document.createElement('canvas');
    tile.width = tile.height = apart;
    const lines = tile.getContext('2d');
    lines.strokeStyle = color;
    lines.lineWidth = apart / 4;
    lines.beginPath();
    for (const shift of [-apart, 0, apart]) {
      lines.moveTo(shift - 1, apart + 1);
      lines.lineTo(shift + apart + 1, -1);
    }
    lines.stroke();
    hatches.set(key, brush.createPattern(tile, 'repeat'));
  }
  return hatches.get(key);
}

// The outlines of the shapes around the middle, for a radius of 1; the page's style and the printed page have the same.
const SHAPES = {
  good: 'circle',
  bad: [[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]],
  unknown: [[0, -1.1], [1.1, 0], [0, 1.1], [-1.1, 0]],
  failed: [[-1, -0.55], [-0.55, -1], [0, -0.45], [0.55, -1], [1, -0.55], [0.45, 0], [1, 0.55], [0.55, 1], [0, 0.45],
    [-0.55, 1], [-1, 0.55], [-0.45, 0]],
  destroyed: [[-0.4, -1.1], [0.4, -1.1], [0.4, 1.1], [-0.4, 1.1]],
  refused: [[-1, -0.8], [1, -0.8], [0, 0.9]],
};

function shape(brush, key, x, y, radius) {
  const outline = SHAPES[key];
  brush.beginPath();
  if (outline === 'circle') brush.arc(x, y, radius, 0, 2 * Math.PI);
  else outline.forEach(([dx, dy], at) => (at ? brush.lineTo(x + dx * radius, y + dy * radius)
    : brush.moveTo(x + dx * radius, y + dy * radius)));
  brush.closePath();
}

// A shape with a rim that keeps it apart from what lies under it.
function mark(brush, key, x, y, radius) {
  shape(brush, key, x, y, radius);
  brush.lineWidth = 2.5;
  brush.strokeStyle = colors.card;
  brush.stroke();
  brush.fillStyle = colors[key];
  brush.fill();
}

// The bar of one status: full while it is under way, half and hatched while it waits, a line otherwise.
function bar(brush, look, x, y, width, height) {
  const thick = Math.max(2, Math.round(height * 0.46));
  if (look === 'started') {
    brush.fillStyle = colors.started;
    brush.fillRect(x, y - thick / 2, width, thick);
  } else if (look === 'waiting') {
    const half = Math.max(2, Math.round(thick * 0.62));
    brush.fillStyle = colors.waiting;
    brush.fillRect(x, y - half / 2, width, half);
    if (height > 10 && width > 6) {
      brush.fillStyle = hatch(brush, colors['waiting-line'], 6);
      brush.fillRect(x, y - half / 2, width, half);
    }
  } else if (look === 'created') {
    brush.fillStyle = colors.created;
    brush.fillRect(x, y - 1, width, 2);
  } else {
    brush.fillStyle = colors[look];
    for (let dot = x; dot < x + width && width > 2; dot += 5) brush.fillRect(dot, y - 0.5, Math.min(2, x + width - dot), 1);
  }
}

// The life of a run's snapshots: a line while one is armed, then what became of it.
function snapshotLine(brush, from, to, y, fate, radius) {
  brush.strokeStyle = colors.snapshot;
  brush.fillStyle = colors.snapshot;
  brush.lineWidth = 1.5;
  brush.beginPath();
  brush.moveTo(from, y - radius);
  brush.lineTo(from, y + radius);
  brush.moveTo(from, y);
  brush.lineTo(to, y);
  brush.stroke();
  if (fate === 'armed') return;
  brush.beginPath();
  if (fate === 'canceled') {
    brush.moveTo(to - radius, y - radius);
    brush.lineTo(to + radius, y + radius);
    brush.moveTo(to - radius, y + radius);
    brush.lineTo(to + radius, y - radius);
    brush.stroke();
    return;
  }
  brush.rect(to - radius, y - radius, 2 * radius, 2 * radius);
  if (fate === 'failed') {
    brush.fillStyle = colors.card;
    brush.fill();
    brush.stroke();
  } else brush.fill();
}
