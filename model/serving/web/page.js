// The page of the endpoint: sends a picture or camera frames, draws points, lists probabilities.
import { draw } from "./draw.js";

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");

let model = null;
let stream = null;
let turn = 0;

function say(text, isError = false) {
  $("state").textContent = text;
  $("state").classList.toggle("error", isError);
}

// The model's name is part of the address; a ping tells it.
async function address() {
  model ??= (await (await fetch("ping")).json()).model;
  return `predictions/${model}`;
}

// The answer, or an error whose message is for people.
async function ask(picture) {
  const headers = { Authorization: `Bearer ${$("token").value.trim()}` };
  const response = await fetch(await address(), { method: "POST", body: picture, headers });
  const answer = await response.json();
  if (response.status === 401) throw new Error("The endpoint asks for its token.");
  const wait = response.headers.get("Retry-After");
  if (answer.error) throw new Error(answer.error.message + (wait ? ` (in ${wait} s)` : ""));
  return answer;
}

function row(name, probability) {
  const line = document.createElement("tr");
  line.innerHTML = '<th scope="row"></th><td><meter min="0" max="1"></meter></td><td></td>';
  line.cells[0].textContent = name;
  line.querySelector("meter").value = probability;
  line.cells[2].textContent = `${(100 * probability).toFixed(1)} %`;
  return line;
}

function table(face, number) {
  const result = document.createElement("table");
  result.createCaption().textContent = `Face ${number}: apparent expression`;
  const ranked = Object.entries(face.expression).sort((a, b) => b[1] - a[1]);
  result.append(...ranked.map(([name, probability]) => row(name, probability)));
  return result;
}

function show(source, answer) {
  draw(canvas, source, answer.faces);
  const count = answer.faces.length;
  canvas.setAttribute("aria-label", `Picture with ${count} face(s)`);
  $("faces").replaceChildren(...answer.faces.map((face, index) => table(face, index + 1)));
  $("version").textContent = `Model version ${answer.model_version}, data ${answer.data_digest.slice(0, 12)}`;
  say(count ? `${count} face(s) found` : "No face found");
}

// A later picture wins over the answer to a former one.
async function answerTo(picture) {
  const mine = ++turn;
  try {
    const source = await createImageBitmap(picture, { imageOrientation: "from-image" }).catch(() => null);
    const answer = await ask(picture);
    if (mine !== turn) return false;
    if (!source) throw new Error("This browser cannot show such a picture.");
    show(source, answer);
    return true;
  } catch (error) {
    if (mine === turn) say(error.message, true);
    return false;
  }
}

async function open(picture) {
  if (!picture) return;
  stopCamera();
  say("Waiting for the answer ...");
  await answerTo(picture);
}

async function frame() {
  const video = $("video");
  const still = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  still.getContext("2d").drawImage(video, 0, 0);
  return still.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}

// One frame at a time; the next one is taken when the former is answered.
async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    say(`No camera: ${error.message}`, true);
    return;
  }
  $("camera").setAttribute("aria-pressed", "true");
  $("video").srcObject = stream;
  await $("video").play();
  while (stream && (await answerTo(await frame())));
  stopCamera();
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").setAttribute("aria-pressed", "false");
}

$("picture").addEventListener("change", (event) => {
  open(event.target.files[0]);
  event.target.value = "";
});
$("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
$("ask").addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") open(event.dataTransfer.files[0]);
  });
}
