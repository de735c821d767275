import unittest
from types import SimpleNamespace

from decide import Failure, decide, failure, problems

SETTINGS = {"sink": "papers", "senders": ["boss@shop.example"]}


class Part:
    def __init__(self, name, content_type, octets):
        self.safe_filename = lambda: name
        self.content_type = lambda: content_type
        self.size = lambda: len(octets)
        self.content = lambda: octets


class Message:
    """As the host would hand it over: what the plugin calls of it."""

    def __init__(self, sender, *attachments):
        self.sender, self.parts = sender, [Part(*attachment) for attachment in attachments]

    def addresses(self, header):
        return [SimpleNamespace(name=None, email=self.sender)] if header == "from" else []

    def received_ms(self):
        return 1_795_514_400_000

    def attachments(self):
        return self.parts


class Host:
    """Writes down what the plugin asks for."""

    def __init__(self):
        self.asked = []

    def label(self, name):
        self.asked.append(f"label {name}")

    def store(self, sink, key, content, options):
        self.asked.append(f"store {sink}:{key} {len(content)} octets")
        return key

    def info(self, message, fields):
        pass


def asked(message, settings):
    host = Host()
    decide(message, settings, host)
    return host.asked


class Fault_Denied:
    value = "no"


class Fault_Missing:
    pass


class Fault_Transient:
    value = "busy"


class Refusal(Exception):
    def __init__(self, value):
        self.value = value


class Decide(unittest.TestCase):
    def test_keeps_the_attachments_of_a_sender_that_counts_under_the_day_of_their_arrival(self):
        mail = Message(
            "Boss@shop.example", ("plan.pdf", "application/pdf", b"%PDF"), ("a.txt", "text/plain", b"a")
        )
        lines = asked(mail, SETTINGS | {"types": ["application/pdf"], "label": "boss"})
        self.assertEqual(lines, ["label boss", "store papers:2026-11-24/plan.pdf 4 octets"])

    def test_leaves_other_mail_alone(self):
        mail = Message("news@shop.example", ("a.pdf", "application/pdf", b"%PDF"))
        self.assertEqual(asked(mail, SETTINGS), [])

    def test_an_attachment_that_is_too_large_is_a_failure_that_trying_again_does_not_mend(self):
        mail = Message("boss@shop.example", ("plan.pdf", "application/pdf", b"%PDF"))
        with self.assertRaises(Failure) as raised:
            asked(mail, SETTINGS | {"max-size": 3})
        self.assertEqual(failure(raised.exception), (False, "plan.pdf has 4 octets; max-size is 3"))

    def test_every_error_gets_a_text_and_only_what_may_pass_is_tried_again(self):
        self.assertEqual(failure(Failure("later", transient=True)), (True, "later"))
        self.assertEqual(failure(Refusal(Fault_Denied())), (False, "denied: no"))
        self.assertEqual(failure(Refusal(Fault_Missing())), (False, "missing"))
        self.assertEqual(failure(Refusal(Fault_Transient())), (True, "transient: busy"))
        transient, text = failure(TypeError("x is not callable"))
        self.assertFalse(transient)
        self.assertIn("TypeError: x is not callable", text)

    def test_wrong_settings_are_all_named(self):
        self.assertEqual(problems(SETTINGS), [])
        self.assertEqual(
            problems({"senders": "boss", "colour": "red", "max-size": -1}),
            [
                ("sink", "is missing"),
                ("senders", "must be of type array"),
                ("colour", "is not known"),
                ("max-size", "must be of type integer"),
            ],
        )


if __name__ == "__main__":
    unittest.main()
