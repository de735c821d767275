"""What the plugin decides: labels the mail of given senders, and keeps their attachments under the day of their arrival.

Knows no host: what it calls is handed to it, so that tests run it in plain Python.
"""

import traceback
from datetime import datetime, timezone

DESCRIPTION = {
    "name": "{{name}}",
    "version": "0.1.0",
    "description": "Labels the mail of given senders and keeps their attachments",
    "settings": {
        "type": "object",
        "required": ["sink", "senders"],
        "additionalProperties": False,
        "properties": {
            "sink": {"type": "string", "description": "Where the attachments go"},
            "senders": {"type": "array", "items": {"type": "string"}, "description": "Addresses whose mail counts"},
            "label": {"type": "string", "default": "vip", "description": "What their mail is labelled"},
            "types": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Content types to keep; all when absent",
            },
            "max-size": {"type": "integer", "description": "Octets an attachment may have; any number when absent"},
        },
    },
}


class Failure(Exception):
    """What the plugin cannot do for a message. Transient: worth another try. Otherwise the operator has to look at it."""

    def __init__(self, text, transient=False):
        super().__init__(text)
        self.transient = transient


IS_RIGHT = {
    "string": lambda value: isinstance(value, str) and value != "",
    "array": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
}


def problems(settings):
    """What is wrong with the settings, as pairs of a path and a problem."""
    schema = DESCRIPTION["settings"]
    found = [(name, "is missing") for name in schema["required"] if name not in settings]
    for name, value in settings.items():
        if name not in schema["properties"]:
            found.append((name, "is not known"))
            continue
        kind = schema["properties"][name]["type"]
        if not IS_RIGHT[kind](value):
            found.append((name, f"must be of type {kind}"))
    return found


def decide(message, settings, host):
    """`message` is the contract's `mail.message`; `host` has `label` and `store` of `effects`, and `info` for the log."""
    senders = [sender.lower() for sender in settings["senders"]]
    sender = next((one.email for one in message.addresses("from") if one.email.lower() in senders), None)
    if sender is None:
        return
    host.label(settings.get("label", "vip"))
    # There is no clock here that moves: the time is the message's.
    arrived = datetime.fromtimestamp(message.received_ms() / 1000, timezone.utc)
    for part in message.attachments():
        if "types" in settings and part.content_type() not in settings["types"]:
            continue
        check_size(part, settings.get("max-size"))
        key = f"{arrived:%Y-%m-%d}/{part.safe_filename()}"
        kept = host.store(settings["sink"], key, part.content(), [("on-conflict", "number")])
        host.info("kept", [("key", kept), ("sender", sender)])


def check_size(part, most):
    if most is not None and part.size() > most:
        raise Failure(f"{part.safe_filename()} has {part.size()} octets; max-size is {most}")


def failure(error):
    """What the host is told of anything that was raised: whether trying again may help, and a text. What is not told ends the
    call without one."""
    if isinstance(error, Failure):
        return error.transient, str(error)
    # A refusal of the host carries the contract's `types.fault`: Fault_Denied, Fault_Quota and so on.
    value = getattr(error, "value", None)
    _, is_fault, kind = type(value).__name__.partition("Fault_")
    if is_fault:
        kind, text = kind.lower(), getattr(value, "value", None)
        return kind == "transient", kind if text is None else f"{kind}: {text}"
    return False, "a mistake in the plugin: " + "".join(traceback.format_exception(error)).strip()
