// What the plugin decides: labels the mail of given senders, and keeps their attachments under the day of their arrival.
// Knows no host: what it calls is handed to it, so that tests run it in plain Node.

export const DESCRIPTION = {
  name: "vip-javascript",
  version: "0.1.0",
  description: "Labels the mail of given senders and keeps their attachments",
  settings: {
    type: "object",
    required: ["sink", "senders"],
    additionalProperties: false,
    properties: {
      sink: { type: "string", description: "Where the attachments go" },
      senders: { type: "array", items: { type: "string" }, description: "Addresses whose mail counts" },
      label: { type: "string", default: "vip", description: "What their mail is labelled" },
      types: { type: "array", items: { type: "string" }, description: "Content types to keep; all when absent" },
      "max-size": { type: "integer", description: "Octets an attachment may have; any number when absent" },
    },
  },
};

/** What the plugin cannot do for a message. Transient: worth another try. Otherwise the operator has to look at it. */
export class Failure extends Error {
  constructor(message, { transient = false } = {}) {
    super(message);
    this.transient = transient;
  }
}

/** What is wrong with the settings, as pairs of a path and a problem. */
export function problems(settings) {
  const { properties, required } = DESCRIPTION.settings;
  const isRight = {
    string: (value) => typeof value === "string" && value !== "",
    array: (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
    integer: (value) => Number.isSafeInteger(value) && value >= 0,
  };
  const found = required.filter((name) => !(name in settings)).map((name) => [name, "is missing"]);
  for (const [name, value] of Object.entries(settings)) {
    const type = Object.hasOwn(properties, name) ? properties[name].type : undefined;
    if (type === undefined) found.push([name, "is not known"]);
    else if (!isRight[type](value)) found.push([name, `must be of type ${type}`]);
  }
  return found;
}

/** `message` is the contract's `mail.message`; `host` has the functions of `effects`, and `emit` of `log`. */
export function decide(message, settings, host) {
  const senders = settings.senders.map((sender) => sender.toLowerCase());
  const sender = message.addresses("from").find(({ email }) => senders.includes(email.toLowerCase()));
  if (sender === undefined) return;
  host.label(settings.label ?? "vip");
  const day = new Date(Number(message.receivedMs())).toISOString().slice(0, 10);
  for (const part of message.attachments()) {
    if (settings.types?.includes(part.contentType()) === false) continue;
    checkSize(part, settings["max-size"]);
    const key = `${day}/${part.safeFilename()}`;
    const kept = host.store(settings.sink, key, part.content(), [["on-conflict", "number"]]);
    host.emit("info", "kept", [["key", kept], ["sender", sender.email]]);
  }
}

function checkSize(part, most) {
  const size = Number(part.size());
  if (most === undefined || size <= most) return;
  throw new Failure(`${part.safeFilename()} has ${size} octets; max-size is ${most}`);
}

/** What the host is told of anything that was thrown. What is not told ends the call without a text. */
export function failure(error) {
  if (error instanceof Failure) return { tag: error.transient ? "transient" : "permanent", val: error.message };
  // A refusal of the host carries the contract's `types.fault`.
  const fault = error?.payload;
  if (fault?.tag !== undefined) {
    const text = fault.val === undefined ? fault.tag : `${fault.tag}: ${fault.val}`;
    return { tag: fault.tag === "transient" ? "transient" : "permanent", val: text };
  }
  return { tag: "permanent", val: `a mistake in the plugin: ${error}\n${error?.stack ?? ""}`.trim() };
}
