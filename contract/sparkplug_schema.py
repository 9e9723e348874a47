"""The proto2 schema of Sparkplug B 3.0, built at import with the field numbers of the Eclipse Tahu `sparkplug_b.proto`: no generated file.

DataSet, Template and extension values are declared as opaque bytes: we never use them, and a foreign gateway may.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


class DataType(IntEnum):
    """Datatype ids of the Sparkplug B specification; 22..34 are arrays packed into bytes_value."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


_F = descriptor_pb2.FieldDescriptorProto
_SCHEMA: Final[Mapping[str, tuple[tuple[str, int, int, str], ...]]] = {  # message -> (field, number, type, "" | "repeated" | "value" = in the oneof)
    "PropertyValue": (
        ("type", 1, _F.TYPE_UINT32, ""),
        ("is_null", 2, _F.TYPE_BOOL, ""),
        ("int_value", 3, _F.TYPE_UINT32, "value"),
        ("long_value", 4, _F.TYPE_UINT64, "value"),
        ("float_value", 5, _F.TYPE_FLOAT, "value"),
        ("double_value", 6, _F.TYPE_DOUBLE, "value"),
        ("boolean_value", 7, _F.TYPE_BOOL, "value"),
        ("string_value", 8, _F.TYPE_STRING, "value"),
        ("propertyset_value", 9, _F.TYPE_BYTES, "value"),
        ("propertysets_value", 10, _F.TYPE_BYTES, "value"),
    ),
    "PropertySet": (("keys", 1, _F.TYPE_STRING, "repeated"), ("values", 2, _F.TYPE_MESSAGE, "repeated PropertyValue")),
    "Metric": (
        ("name", 1, _F.TYPE_STRING, ""),
        ("alias", 2, _F.TYPE_UINT64, ""),
        ("timestamp", 3, _F.TYPE_UINT64, ""),
        ("datatype", 4, _F.TYPE_UINT32, ""),
        ("is_historical", 5, _F.TYPE_BOOL, ""),
        ("is_transient", 6, _F.TYPE_BOOL, ""),
        ("is_null", 7, _F.TYPE_BOOL, ""),
        ("metadata", 8, _F.TYPE_BYTES, ""),
        ("properties", 9, _F.TYPE_MESSAGE, "PropertySet"),
        ("int_value", 10, _F.TYPE_UINT32, "value"),
        ("long_value", 11, _F.TYPE_UINT64, "value"),
        ("float_value", 12, _F.TYPE_FLOAT, "value"),
        ("double_value", 13, _F.TYPE_DOUBLE, "value"),
        ("boolean_value", 14, _F.TYPE_BOOL, "value"),
        ("string_value", 15, _F.TYPE_STRING, "value"),
        ("bytes_value", 16, _F.TYPE_BYTES, "value"),
        ("dataset_value", 17, _F.TYPE_BYTES, "value"),
        ("template_value", 18, _F.TYPE_BYTES, "value"),
        ("extension_value", 19, _F.TYPE_BYTES, "value"),
    ),
    "Payload": (
        ("timestamp", 1, _F.TYPE_UINT64, ""),
        ("metrics", 2, _F.TYPE_MESSAGE, "repeated Metric"),
        ("seq", 3, _F.TYPE_UINT64, ""),
        ("uuid", 4, _F.TYPE_STRING, ""),
        ("body", 5, _F.TYPE_BYTES, ""),
    ),
}


def payload_class() -> Any:
    """Build the message classes in a pool of their own, so that a Tahu library in the same process does not clash."""
    file = descriptor_pb2.FileDescriptorProto(name="archivewatch/sparkplug_b.proto", package="sparkplug", syntax="proto2")
    for message, fields in _SCHEMA.items():
        target = file.message_type.add(name=message)
        for name, number, kind, extra in fields:
            label = _F.LABEL_REPEATED if extra.startswith("repeated") else _F.LABEL_OPTIONAL
            field = target.field.add(name=name, number=number, type=cast(Any, kind), label=label)
            if kind == _F.TYPE_MESSAGE:
                field.type_name = f".sparkplug.{extra.split()[-1]}"
            elif extra == "value":
                field.oneof_index = 0
        if any(extra == "value" for *_, extra in fields):
            target.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))
