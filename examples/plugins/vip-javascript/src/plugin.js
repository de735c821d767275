// The component's face: what the host calls, and what the plugin calls of the host. Everything else is in decide.js.

import * as effects from "postroom:plugin/effects@0.1.0";
import * as log from "postroom:plugin/log@0.1.0";

import { DESCRIPTION, decide, failure, problems } from "./decide.js";

// Each message has an instance of its own: nothing that is set here is seen by the next one.
let settings = {};

export const handler = {
  describe() {
    return JSON.stringify(DESCRIPTION);
  },

  configure(text) {
    settings = JSON.parse(text);
    const found = problems(settings);
    if (found.length > 0) throw found;
  },

  handle(message) {
    try {
      decide(message, settings, { ...effects, emit: log.emit });
    } catch (error) {
      throw failure(error);
    }
  },
};
