from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InputType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INPUT_TYPE_UNSPECIFIED: _ClassVar[InputType]
    INPUT_TYPE_BYTES: _ClassVar[InputType]
    INPUT_TYPE_INTEGERS: _ClassVar[InputType]
    INPUT_TYPE_FLOATS: _ClassVar[InputType]
    INPUT_TYPE_DOUBLES: _ClassVar[InputType]
    INPUT_TYPE_STRINGS: _ClassVar[InputType]
INPUT_TYPE_UNSPECIFIED: InputType
INPUT_TYPE_BYTES: InputType
INPUT_TYPE_INTEGERS: InputType
INPUT_TYPE_FLOATS: InputType
INPUT_TYPE_DOUBLES: InputType
INPUT_TYPE_STRINGS: InputType

class ContainerMessage(_message.Message):
    __slots__ = ("register", "batch_reply", "credit_grant", "draining")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    BATCH_REPLY_FIELD_NUMBER: _ClassVar[int]
    CREDIT_GRANT_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    register: Register
    batch_reply: BatchReply
    credit_grant: CreditGrant
    draining: Draining
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., batch_reply: _Optional[_Union[BatchReply, _Mapping]] = ..., credit_grant: _Optional[_Union[CreditGrant, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ...) -> None: ...

class FrontendMessage(_message.Message):
    __slots__ = ("registered", "refused", "batch", "demand", "credit_return", "worker_list", "drain")
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    DEMAND_FIELD_NUMBER: _ClassVar[int]
    CREDIT_RETURN_FIELD_NUMBER: _ClassVar[int]
    WORKER_LIST_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    registered: Registered
    refused: Refused
    batch: Batch
    demand: Demand
    credit_return: CreditReturn
    worker_list: WorkerList
    drain: Drain
    def __init__(self, registered: _Optional[_Union[Registered, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., demand: _Optional[_Union[Demand, _Mapping]] = ..., credit_return: _Optional[_Union[CreditReturn, _Mapping]] = ..., worker_list: _Optional[_Union[WorkerList, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("protocol_version", "token", "model_name", "model_version", "input_type", "instance_id", "runtime", "metrics_port")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    METRICS_PORT_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    token: str
    model_name: str
    model_version: str
    input_type: InputType
    instance_id: str
    runtime: str
    metrics_port: int
    def __init__(self, protocol_version: _Optional[int] = ..., token: _Optional[str] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., input_type: _Optional[_Union[InputType, str]] = ..., instance_id: _Optional[str] = ..., runtime: _Optional[str] = ..., metrics_port: _Optional[int] = ...) -> None: ...

class Registered(_message.Message):
    __slots__ = ("protocol_version", "worker_id", "replica_id", "max_message_bytes", "worker_list")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKER_LIST_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    worker_id: str
    replica_id: int
    max_message_bytes: int
    worker_list: WorkerList
    def __init__(self, protocol_version: _Optional[int] = ..., worker_id: _Optional[str] = ..., replica_id: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., worker_list: _Optional[_Union[WorkerList, _Mapping]] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason", "retryable")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    retryable: bool
    def __init__(self, reason: _Optional[str] = ..., retryable: bool = ...) -> None: ...

class WorkerList(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("worker_id", "address")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    address: str
    def __init__(self, worker_id: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("batch_id", "generation", "input_type", "budgets_s", "data", "sizes", "probe", "demand")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_S_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    DEMAND_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    generation: int
    input_type: InputType
    budgets_s: _containers.RepeatedScalarFieldContainer[float]
    data: bytes
    sizes: _containers.RepeatedScalarFieldContainer[int]
    probe: bool
    demand: Demand
    def __init__(self, batch_id: _Optional[int] = ..., generation: _Optional[int] = ..., input_type: _Optional[_Union[InputType, str]] = ..., budgets_s: _Optional[_Iterable[float]] = ..., data: _Optional[bytes] = ..., sizes: _Optional[_Iterable[int]] = ..., probe: bool = ..., demand: _Optional[_Union[Demand, _Mapping]] = ...) -> None: ...

class BatchReply(_message.Message):
    __slots__ = ("batch_id", "data", "sizes", "errors", "queue_s", "compute_s", "credits")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    data: bytes
    sizes: _containers.RepeatedScalarFieldContainer[int]
    errors: _containers.RepeatedCompositeFieldContainer[ItemError]
    queue_s: float
    compute_s: float
    credits: int
    def __init__(self, batch_id: _Optional[int] = ..., data: _Optional[bytes] = ..., sizes: _Optional[_Iterable[int]] = ..., errors: _Optional[_Iterable[_Union[ItemError, _Mapping]]] = ..., queue_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., credits: _Optional[int] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("index", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    message: str
    def __init__(self, index: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class CreditGrant(_message.Message):
    __slots__ = ("credits", "hold")
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    credits: int
    hold: bool
    def __init__(self, credits: _Optional[int] = ..., hold: bool = ...) -> None: ...

class CreditReturn(_message.Message):
    __slots__ = ("credits",)
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    credits: int
    def __init__(self, credits: _Optional[int] = ...) -> None: ...

class Demand(_message.Message):
    __slots__ = ("queries", "head_budget_s")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    HEAD_BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    queries: int
    head_budget_s: float
    def __init__(self, queries: _Optional[int] = ..., head_budget_s: _Optional[float] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reason", "reconnect")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    reconnect: bool
    def __init__(self, reason: _Optional[str] = ..., reconnect: bool = ...) -> None: ...
