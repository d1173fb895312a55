// npm's openai and ollama against a running server that holds the demo model as "demo".
// clients.py runs it from the folder that has node_modules:
//   node --test-reporter=tap --input-type=module - URL FOLDER < clients.mjs
// FOLDER is for its files. Tests run one after the other.
import assert from "node:assert/strict";
import buffer from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { Ollama } from "ollama";
import OpenAI, { toFile } from "openai";

// What openai asks for on Node 18.
globalThis.File ??= buffer.File;

const [url, folder] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
const ollama = new Ollama({ host: url });
const quick = { model: "demo", prompt: "a red circle", steps: 4, seed: 1 };

// [width, height] of a PNG as base64.
function size(base64)
{
  const png = Buffer.from(base64, "base64");
  assert.equal(png.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
  assert.equal(png.subarray(-8, -4).toString("latin1"), "IEND");
  return [png.readUInt32BE(16), png.readUInt32BE(20)];
}

async function collect(stream)
{
  const all = [];
  for await (const part of stream)
    all.push(part);
  return all;
}

test("openai: generate", async () => {
  const result = await openai.images.generate({ ...quick, size: "64x96", n: 2, response_format: "b64_json" });
  assert.deepEqual(result.data.map((image) => size(image.b64_json)), [[64, 96], [64, 96]]);
  assert.ok(result.created > 1.7e9);
});

test("openai: stream", async () => {
  for (const wanted of [0, 2]) {
    const events = await collect(await openai.images.generate(
      { ...quick, size: "64x64", stream: true, partial_images: wanted }));
    assert.deepEqual(events.map((event) => event.type),
      [...Array(wanted).fill("image_generation.partial_image"), "image_generation.completed"]);
    assert.deepEqual(events.slice(0, -1).map((event) => event.partial_image_index), [...Array(wanted).keys()]);
    for (const event of events)
      assert.deepEqual(size(event.b64_json), [64, 64]);
    assert.ok(events.at(-1).usage.input_tokens > 3);
  }
});

test("openai: stream that is left", async () => {
  const stream = await openai.images.generate(
    { ...quick, size: "64x64", n: 10, steps: 50, stream: true, partial_images: 3 });
  for await (const event of stream) {
    assert.equal(event.type, "image_generation.partial_image");
    break;
  }
  assert.ok(stream.controller.signal.aborted);
});

test("openai: edit", async () => {
  const file = path.join(folder, "hat.png");
  const { data: [drawn] } = await openai.images.generate({ ...quick, size: "96x64" });
  fs.writeFileSync(file, Buffer.from(drawn.b64_json, "base64"));
  const one = { ...quick, strength: 0.5 };
  const whole = await openai.images.edit({ ...one, image: fs.createReadStream(file) });
  assert.deepEqual(size(whole.data[0].b64_json), [96, 64]);
  const masked = await openai.images.edit({ ...one, mask_mode: "white", mask: fs.createReadStream(file),
    image: await toFile(fs.readFileSync(file), "a.png", { type: "image/png" }) });
  assert.deepEqual(size(masked.data[0].b64_json), [96, 64]);
  const events = await collect(await openai.images.edit(
    { ...quick, strength: 1, stream: true, partial_images: 1, image: fs.createReadStream(file) }));
  assert.deepEqual(events.map((event) => event.type), ["image_edit.partial_image", "image_edit.completed"]);
});

test("openai: models", async () => {
  assert.deepEqual((await collect(openai.models.list())).map((model) => model.id), ["demo:latest"]);
  const model = await openai.models.retrieve("demo");
  assert.deepEqual([model.id, model.object], ["demo", "model"]);
});

test("openai: errors", async () => {
  for (const [kind, status, message, call] of [
    [OpenAI.NotFoundError, 404, /model 'nope' not found/, () => openai.images.generate({ ...quick, model: "nope" })],
    [OpenAI.NotFoundError, 404, /model 'nope:latest' not found/, () => openai.models.retrieve("nope")],
    [OpenAI.BadRequestError, 400, /prompt is required/, () => openai.images.generate({ ...quick, prompt: "" })],
    [OpenAI.BadRequestError, 400, /not a PNG, JPEG or WebP file/,
      async () => openai.images.edit({ ...quick, image: await toFile(Buffer.from("GIF89a"), "a.png") })],
    [OpenAI.BadRequestError, 400, /does not support chat/,
      () => openai.chat.completions.create({ model: "demo", messages: [{ role: "user", content: "hi" }] })],
  ]) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof kind, error);
      assert.equal(error.status, status);
      assert.match(error.message, message);
      assert.equal(error.type, status === 404 ? "not_found_error" : "invalid_request_error");
      return true;
    });
  }
});

const small = { model: "demo", prompt: "a red circle", width: 64, height: 64, steps: 2, options: { seed: 1 } };

test("ollama: generate", async () => {
  const whole = await ollama.generate({ ...small });
  assert.deepEqual([whole.done, size(whole.image)], [true, [64, 64]]);
  const lines = await collect(await ollama.generate({ ...small, stream: true }));
  assert.deepEqual(lines.slice(0, -1).map((line) => [line.done, line.completed ?? 0, line.total]),
    [[false, 0, 2], [false, 1, 2], [false, 2, 2]]);
  assert.equal(lines.at(-1).image, whole.image);
  const edited = await ollama.generate({ model: "demo", prompt: "a red circle", steps: 4, options: { strength: 0.5 },
    images: [Buffer.from(whole.image, "base64")] });
  assert.deepEqual(size(edited.image), [64, 64]);
});

test("ollama: models", async () => {
  const [running] = (await ollama.ps()).models;
  assert.equal(running.model, "demo:latest");
  assert.ok(new Date(running.expires_at) > new Date());
  const shown = await ollama.show({ model: "demo" });
  assert.ok(shown.capabilities.includes("image"));
  assert.match(shown.parameters, /^width +128$/m);
  await ollama.copy({ source: "demo", destination: "copy" });
  const lines = await collect(await ollama.create(
    { model: "made", from: "demo", parameters: { width: 64, height: 96, steps: 2 }, stream: true }));
  assert.equal(lines.at(-1).status, "success");
  const listed = (await ollama.list()).models;
  assert.deepEqual(listed.map((model) => model.name).sort(), ["copy:latest", "demo:latest", "made:latest"]);
  assert.ok(listed.every((model) => model.size > 0 && model.digest.length === 64));
  assert.deepEqual(size((await ollama.generate({ model: "made", prompt: "a red circle" })).image), [64, 96]);
  for (const model of ["copy", "made"])
    await ollama.delete({ model });
  assert.deepEqual((await ollama.list()).models.map((model) => model.name), ["demo:latest"]);
  assert.equal((await ollama.generate({ model: "demo", prompt: "", keep_alive: 0 })).done_reason, "unload");
});

test("ollama: errors", async () => {
  for (const [status_code, message, call] of [
    [404, /model 'nope' not found/, () => ollama.generate({ ...small, model: "nope" })],
    [404, /model 'nope' not found/, () => ollama.generate({ ...small, model: "nope", stream: true })],
    [404, /model 'nope:latest' not found/, () => ollama.show({ model: "nope" })],
    [404, /model "nope" not found/, () => ollama.copy({ source: "nope", destination: "copy" })],
    [404, /model 'nope' not found/, () => ollama.delete({ model: "nope" })],
    [400, /does not support chat/, () => ollama.chat({ model: "demo", messages: [{ role: "user", content: "hi" }] })],
    [400, /not a PNG, JPEG or WebP file/, () => ollama.generate({ ...small, images: [Buffer.from("GIF89a")] })],
  ])
    await assert.rejects(call, { name: "ResponseError", status_code, message });
});
