import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure, decide, failure, problems } from "../src/decide.js";

const SETTINGS = { sink: "papers", senders: ["boss@shop.example"] };

/** A message as the host would hand it over: what the plugin calls of it. */
function message(from, ...attachments) {
  return {
    addresses: (header) => (header === "from" ? [{ name: undefined, email: from }] : []),
    receivedMs: () => 1_795_514_400_000n,
    attachments: () =>
      attachments.map(([name, type, octets]) => ({
        safeFilename: () => name,
        contentType: () => type,
        size: () => BigInt(octets.length),
        content: () => octets,
      })),
  };
}

/** Runs the plugin over a message, and says what it asked for. */
function asked(message, settings) {
  const lines = [];
  const host = {
    label: (name) => lines.push(`label ${name}`),
    store: (sink, key, content) => {
      lines.push(`store ${sink}:${key} ${content.length} octets`);
      return key;
    },
    emit: () => {},
  };
  decide(message, settings, host);
  return lines;
}

test("keeps the attachments of a sender that counts, under the day of their arrival", () => {
  const mail = message("Boss@shop.example", ["plan.pdf", "application/pdf", "%PDF"], ["a.txt", "text/plain", "a"]);
  assert.deepEqual(asked(mail, { ...SETTINGS, types: ["application/pdf"], label: "boss" }), [
    "label boss",
    "store papers:2026-11-24/plan.pdf 4 octets",
  ]);
});

test("leaves other mail alone", () => {
  assert.deepEqual(asked(message("news@shop.example", ["a.pdf", "application/pdf", "%PDF"]), SETTINGS), []);
});

test("an attachment that is too large is a failure that trying again does not mend", () => {
  const mail = message("boss@shop.example", ["plan.pdf", "application/pdf", "%PDF"]);
  const text = "plan.pdf has 4 octets; max-size is 3";
  assert.throws(() => asked(mail, { ...SETTINGS, "max-size": 3 }), new Failure(text));
  assert.deepEqual(failure(new Failure(text)), { tag: "permanent", val: text });
});

test("every error gets a text, and only what may pass is tried again", () => {
  assert.deepEqual(failure(new Failure("later", { transient: true })), { tag: "transient", val: "later" });
  assert.deepEqual(failure({ payload: { tag: "denied", val: "no" } }), { tag: "permanent", val: "denied: no" });
  assert.deepEqual(failure({ payload: { tag: "transient", val: "busy" } }).tag, "transient");
  const { tag, val } = failure(new TypeError("x is not a function"));
  assert.equal(tag, "permanent");
  assert.match(val, /TypeError: x is not a function/);
});

test("wrong settings are all named", () => {
  assert.deepEqual(problems(SETTINGS), []);
  assert.deepEqual(problems({ senders: "boss", colour: "red", "max-size": -1 }), [
    ["sink", "is missing"],
    ["senders", "must be of type array"],
    ["colour", "is not known"],
    ["max-size", "must be of type integer"],
  ]);
});
