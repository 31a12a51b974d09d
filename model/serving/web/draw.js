// Faces drawn over their picture. Coordinates are pixels, (0, 0) the centre of the first one.
const COLOURS = { box: "#ffffff", line: "#50c8ff", point: "#ff7896" };
const SMALLEST_SIDE = 640;
const LARGEST_SIDE = 1600;

// Points from `start` to `stop`, joined; `closed` joins the last to the first.
const CONTOURS = JSON.parse(document.getElementById("contours").textContent);

export function draw(canvas, source, faces) {
  const longer = Math.max(source.width, source.height);
  const scale = Math.min(Math.max(1, SMALLEST_SIDE / longer), LARGEST_SIDE / longer);
  canvas.width = Math.round(source.width * scale);
  canvas.height = Math.round(source.height * scale);
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  faces.forEach((face, index) => drawFace(context, face, index + 1, scale));
}

function drawFace(context, face, number, scale) {
  const place = ([x, y]) => [(x + 0.5) * scale, (y + 0.5) * scale];
  const [left, top] = place(face.box.slice(0, 2));
  const [right, bottom] = place(face.box.slice(2));
  const unit = Math.max(1, (right - left) / 160);
  context.lineWidth = unit;
  context.strokeStyle = COLOURS.box;
  context.strokeRect(left, top, right - left, bottom - top);
  context.fillStyle = COLOURS.box;
  context.font = `${Math.max(12, 10 * unit)}px sans-serif`;
  context.fillText(String(number), left, top - 3 * unit);
  const points = face.landmarks.map(place);
  context.strokeStyle = COLOURS.line;
  for (const [start, stop, closed] of CONTOURS) outline(context, points.slice(start, stop), closed);
  points.forEach((point, index) => dot(context, point, 1.5 * unit, face.confidence[index]));
}

function outline(context, points, closed) {
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(x, y));
  if (closed) context.closePath();
  context.stroke();
}

// The surer, the more opaque.
function dot(context, [x, y], radius, confidence) {
  context.globalAlpha = 0.3 + 0.7 * confidence;
  context.fillStyle = COLOURS.point;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  context.globalAlpha = 1;
}
