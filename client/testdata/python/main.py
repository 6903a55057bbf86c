"""Uses the client that OpenAPI Generator makes against a server. Exits with words
when an expectation fails."""

import os
import sys

from activemessage_client import (
    ApiClient,
    ApiException,
    Configuration,
    Message,
    MessagesApi,
    Problem,
    State,
    Submission,
)

PREFER = "wait=10"  # seconds until a message has to have ended


def expect(condition: bool, words: str) -> None:
    if not condition:
        sys.exit(f"expected {words}")


def wait(messages: MessagesApi, id: str) -> Message:
    """Returns the message when it has ended."""
    message = messages.get_message(id, prefer=PREFER)
    expect(message.finished_at is not None, f"message {id} to have ended")
    return message


def succeed(messages: MessagesApi) -> None:
    message = messages.submit_message(
        Submission(message_type="echo", message_data={"user": 42}, metadata={"tenant": "acme"}), prefer=PREFER
    )
    expect(isinstance(message, Message), f"the message, not {message}")
    expect(message.state == State.SUCCEEDED, f"success, not {message}")
    expect(message.metadata == {"tenant": "acme"}, f"the metadata back, not {message.metadata}")
    result = messages.get_message_result(str(message.id))
    expect(result == b'{"user": 42}', f"the data back, not {result!r}")


def submit_bytes(messages: MessagesApi) -> None:
    data = b"\x00\xff"
    receipt = messages.submit_bytes("echo", priority=9, body=data, _content_type="image/png")
    message = wait(messages, str(receipt.id))
    expect(message.content_type == "image/png" and message.priority == 9, f"what was sent, not {message}")
    result = messages.get_message_result(str(receipt.id))
    expect(result == data, f"the bytes back, not {result!r}")


def list_all(messages: MessagesApi) -> None:
    seen, cursor = [], None
    while True:
        page = messages.list_messages(state=State.SUCCEEDED, message_type="echo", limit=1, cursor=cursor)
        seen += [message.id for message in page.messages]
        cursor = page.next
        if cursor is None:
            break
    expect(len(seen) == 2 and len(set(seen)) == 2, f"two messages on two pages, not {seen}")


def cancel(messages: MessagesApi) -> None:
    receipt = messages.submit_message(Submission(message_type="sleep", message_data={"duration": "10m"}))
    messages.cancel_message(str(receipt.id))
    message = wait(messages, str(receipt.id))
    expect(message.state == State.CANCELLED, f"a cancelled message, not {message}")


def read_problem(messages: MessagesApi) -> None:
    try:
        # Valid for the generated model, which does not know this bound.
        messages.submit_message(Submission(message_type="echo", response_notification="a*"))
    except ApiException as error:
        problem = error.data
        expect(isinstance(problem, Problem), f"a Problem, not {problem!r}")
        expect(problem.status == 422 and problem.code == "invalid_message", f"invalid_message, not {problem}")
        pointers = [each.pointer for each in problem.errors or []]
        expect(pointers == ["/response_notification"], f"a pointer at the fault, not {pointers}")
    else:
        sys.exit("expected a refusal")


def main() -> None:
    with ApiClient(Configuration(host=os.environ["ACTIVEMESSAGE_URL"])) as client:
        messages = MessagesApi(client)
        succeed(messages)
        submit_bytes(messages)
        list_all(messages)
        cancel(messages)
        read_problem(messages)


main()
