"""The component's face: what the host calls, and what the plugin calls of the host. Everything else is in decide.py."""

import json
import sys

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import handler
from wit_world.imports import effects, log
from wit_world.imports.types import Level

from decide import DESCRIPTION, decide, failure, problems


class Lines:
    """What is printed becomes lines of the plugin's log: there is no output here, and writing to it would end the call."""

    def __init__(self, level):
        self.level = level

    def write(self, text):
        if text.strip():
            log.emit(self.level, text.rstrip(), [])
        return len(text)

    def flush(self):
        pass


class Host:
    """What the plugin calls of the host."""

    label = staticmethod(effects.label)
    store = staticmethod(effects.store)

    @staticmethod
    def info(message, fields):
        log.emit(Level.INFO, message, fields)


class Handler(exports.Handler):
    # Each message has an instance of its own: nothing that is set here is seen by the next one.
    settings = {}

    def describe(self):
        return json.dumps(DESCRIPTION)

    def configure(self, text):
        sys.stdout, sys.stderr = Lines(Level.INFO), Lines(Level.WARN)
        Handler.settings = json.loads(text)
        found = problems(Handler.settings)
        if found:
            raise Err(found)

    def handle(self, message):
        try:
            decide(message, Handler.settings, Host)
        except Exception as error:
            transient, text = failure(error)
            kind = handler.Failure_Transient if transient else handler.Failure_Permanent
            raise Err(kind(text)) from None
