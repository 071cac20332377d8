"""`client.py ADDRESS CALL...`: calls the control service one after the other, prints one JSON line a call.

A CALL is `METHOD` or `METHOD:JSON`. What the methods take is learned from the server, by reflection. Of a stream the first message that
has a breaker in the state BREAKER_STATE is printed. BREAKER_CONTROL_TOKEN is sent as the token, if it is set.
"""

import json
import os
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "breaker.v1.Control"


def main():
    address, *calls = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName(SERVICE)
        for call in calls:
            name, _, content = call.partition(":")
            print(json.dumps(answer(channel, service.FindMethodByName(name), content or "{}")), flush=True)


def answer(channel, method, content):
    request = json_format.Parse(content, message_factory.GetMessageClass(method.input_type)())
    response = message_factory.GetMessageClass(method.output_type)
    connect = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = connect(f"/{SERVICE}/{method.name}", lambda message: message.SerializeToString(), response.FromString)
    token = os.environ.get("BREAKER_CONTROL_TOKEN")
    metadata = [("authorization", f"Bearer {token}")] if token else []
    try:
        answered = call(request, metadata=metadata, timeout=30)
        if method.server_streaming:
            answered = first(answered)
        return {"code": "OK", "answer": json_format.MessageToDict(answered)}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def first(messages):
    state = os.environ["BREAKER_STATE"]
    for message in messages:
        if any(json_format.MessageToDict(breaker)["state"] == state for breaker in message.breakers):
            messages.cancel()
            return message
    raise SystemExit("the stream has ended")


main()
