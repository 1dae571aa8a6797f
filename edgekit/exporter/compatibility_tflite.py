"""TFLite: which release of its interpreter has which version of each builtin operator.

A ``.tflite`` file gives each operator a version, which rises with the types and options that it uses; an interpreter
refuses the whole file for one version that it does not have. TensorFlow's own table (runtime_version.cc, which
converters write into files as ``min_runtime_version``) is not used: it has version 10 of FULLY_CONNECTED in 2.11, and
the interpreters of 2.11 and 2.12 refuse that.
"""

from __future__ import annotations

from pathlib import Path

from edgekit.exporter.compatibility_needs import Need, Release

#: Runtimes that have the numbers of TensorFlow's releases, and the one that has its own.
TENSORFLOW = ("tflite-runtime", "tensorflow")
LITERT = "ai-edge-litert"

#: The oldest releases known.
OLDEST: dict[str, Release] = {"tflite-runtime": (2, 7), "tensorflow": (2, 7), LITERT: (1, 0)}

#: Operators that have been the same since the oldest releases, as NAME:CODE, by the newest version of each. Measured,
#: as is the table below: a file for every operator and version was given to the interpreters of tflite-runtime 2.7 to
#: 2.14, TensorFlow 2.15 to 2.21 and ai-edge-litert 1.0 to 2.3.
_STEADY = {
    1: """
    FLOOR:8 HASHTABLE_LOOKUP:10 L2_POOL_2D:12 LOCAL_RESPONSE_NORMALIZATION:13 LSH_PROJECTION:15 RELU_N1_TO_1:20
    RESHAPE:22 SKIP_GRAM:30 EMBEDDING_LOOKUP_SPARSE:33 PRELU:54 NEG:59 EXPAND_DIMS:70 SHAPE:77 POW:78 LOGICAL_OR:84
    ONE_HOT:85 LOGICAL_AND:86 LOGICAL_NOT:87 REDUCE_ANY:91 SQUARE:92 ZEROS_LIKE:93 UNIQUE:103 CEIL:104 ADD_N:106
    RANK:110 ELU:111 REVERSE_SEQUENCE:112 MATRIX_DIAG:113 MATRIX_SET_DIAG:115 ROUND:116 HARD_SWISH:117 IF:118
    WHILE:119 NON_MAX_SUPPRESSION_V4:120 NON_MAX_SUPPRESSION_V5:121 SCATTER_ND:122 DENSIFY:124 SEGMENT_SUM:125
    CUMSUM:128 CALL_ONCE:129 RFFT2D:131 CONV_3D:132 IMAG:133 REAL:134 COMPLEX_ABS:135 HASHTABLE:136
    HASHTABLE_FIND:137 HASHTABLE_IMPORT:138 HASHTABLE_SIZE:139 REDUCE_ALL:140 CONV_3D_TRANSPOSE:141 VAR_HANDLE:142
    READ_VARIABLE:143 ASSIGN_VARIABLE:144 BROADCAST_ARGS:145 RANDOM_STANDARD_NORMAL:146
    """,
    2: """
    DEPTH_TO_SPACE:5 L2_NORMALIZATION:11 SPACE_TO_DEPTH:26 DIV:42 SQUEEZE:43 LOG_SOFTMAX:50 GREATER:61 LESS_EQUAL:63
    SUM:74 FAKE_QUANT:80 REDUCE_PROD:81 LEAKY_RELU:98 SQUARED_DIFFERENCE:99
    """,
    3: """
    AVERAGE_POOL_2D:1 LOGISTIC:14 MAX_POOL_2D:17 RELU:19 RELU6:21 RNN:24 TANH:28 UNIDIRECTIONAL_SEQUENCE_RNN:35
    MEAN:40 BIDIRECTIONAL_SEQUENCE_RNN:46 BIDIRECTIONAL_SEQUENCE_LSTM:52 SPARSE_TO_DENSE:68 REDUCE_MAX:82
    REDUCE_MIN:89
    """,
    4: """
    LSTM:16 RESIZE_BILINEAR:23 SVDF:27 MAXIMUM:55 MINIMUM:57 RESIZE_NEAREST_NEIGHBOR:97 BATCH_MATMUL:126
    """,
    5: """
    SUB:41
    """,
}

#: The others: NAME:CODE, then RELEASE=VERSION wherever a newer version came, of TensorFlow's releases / LiteRT's.
_CHANGED = """
    ADD:0 2.7=4 2.13=5 / 1.0=5 2.1.6=6
    CONCATENATION:2 2.7=3 2.14=4 2.21=5 / 1.0=4 2.1.2=5 2.1.6=6 2.2=7
    CONV_2D:3 2.7=5 2.9=6 2.12=7 2.15=8 / 1.0=8
    DEPTHWISE_CONV_2D:4 2.7=6 2.13=7 / 1.0=7
    DEQUANTIZE:6 2.7=5 2.18=6 2.21=7 / 1.0=6 2.1=7 2.1.3=8 2.2=9
    EMBEDDING_LOOKUP:7 2.7=3 2.18=4 2.21=5 / 1.0=4 2.1.2=5
    FULLY_CONNECTED:9 2.7=9 2.13=10 2.15=11 2.17=12 2.18=13 2.21=14 / 1.0=13 2.1=14
    MUL:18 2.7=5 2.11=6 2.13=7 / 1.0=7 2.1.6=8
    SOFTMAX:25 2.7=3 / 1.0=3 2.1.6=4
    PAD:34 2.7=4 2.20=5 / 1.0=4 2.0=5 2.2=6
    GATHER:36 2.7=5 2.13=6 2.15=7 / 1.0=7 2.2=8
    BATCH_TO_SPACE_ND:37 2.7=3 2.13=4 / 1.0=4
    SPACE_TO_BATCH_ND:38 2.7=3 2.13=4 / 1.0=4
    TRANSPOSE:39 2.7=5 2.12=6 2.20=7 / 1.0=6 1.2=7 2.1.6=9
    UNIDIRECTIONAL_SEQUENCE_LSTM:44 2.7=3 2.12=4 / 1.0=4
    STRIDED_SLICE:45 2.7=6 2.14=8 / 1.0=8
    EXP:47 2.7=1 2.13=2 / 1.0=2
    TOPK_V2:48 2.7=2 2.13=3 / 1.0=3
    SPLIT:49 2.7=4 / 1.0=4 2.2=5
    CAST:53 2.7=2 2.8=3 2.9=4 2.13=5 2.15=6 2.19=7 2.21=8 / 1.0=6 1.1=7 2.1=8 2.2=9
    ARG_MAX:56 2.7=2 2.9=3 / 1.0=3
    LESS:58 2.7=2 2.13=3 / 1.0=3
    PADV2:60 2.7=4 2.20=5 / 1.0=4 2.0=5 2.2=6
    GREATER_EQUAL:62 2.7=2 2.13=3 / 1.0=3
    SELECT:64 2.7=2 2.12=3 2.14=4 / 1.0=4
    SLICE:65 2.7=5 2.14=6 2.21=7 / 1.0=6 2.1=7 2.1.6=8
    SIN:66 2.7=1 / 1.0=1 2.1.6=2
    TRANSPOSE_CONV:67 2.7=3 2.12=4 2.15=5 / 1.0=5
    TILE:69 2.7=2 2.8=3 / 1.0=3
    EQUAL:71 2.7=3 2.13=4 2.21=5 / 1.0=4 2.1=5
    NOT_EQUAL:72 2.7=3 2.21=4 / 1.0=3 2.1=4
    LOG:73 2.7=1 2.15=2 / 1.0=2
    SQRT:75 2.7=1 2.21=2 / 1.0=1 2.0=2
    RSQRT:76 2.7=2 2.15=3 / 1.0=3
    ARG_MIN:79 2.7=2 2.9=3 / 1.0=3
    PACK:83 2.7=3 2.14=4 / 1.0=4 2.2=5
    UNPACK:88 2.7=4 / 1.0=4 2.1.3=5 2.2=6
    FLOOR_DIV:90 2.7=2 2.13=3 / 1.0=3
    FILL:94 2.7=3 2.12=4 / 1.0=4 2.2=5
    FLOOR_MOD:95 2.7=1 2.13=2 / 1.0=2
    RANGE:96 2.7=1 2.14=2 / 1.0=2
    MIRROR_PAD:100 2.7=2 2.13=3 / 1.0=3
    ABS:101 2.7=4 2.12=5 / 1.0=5
    SPLIT_V:102 2.7=2 / 1.0=2 2.2=3
    REVERSE_V2:105 2.7=3 / 1.0=3 2.2=4
    GATHER_ND:107 2.7=3 2.13=4 2.16=5 / 1.0=5 2.2=6
    COS:108 2.7=1 / 1.0=1 2.1.6=2
    WHERE:109 2.7=1 2.8=2 / 1.0=2
    QUANTIZE:114 2.7=3 2.21=4 / 1.0=3 2.1=4 2.1.3=6
    SELECT_V2:123 2.7=1 2.14=2 / 1.0=2
    BROADCAST_TO:130 2.7=3 / 1.0=3 2.2=4
    BUCKETIZE:147 2.8=1 / 1.0=1
    RANDOM_UNIFORM:148 2.8=1 / 1.0=1
    MULTINOMIAL:149 2.8=1 / 1.0=1
    GELU:150 2.8=1 2.9=2 / 1.0=2 2.1.6=3
    DYNAMIC_UPDATE_SLICE:151 2.9=1 2.18=2 2.19=3 2.20=4 2.21=5 / 1.0=2 1.1=3 1.3=4 2.1.2=5 2.1.6=6
    RELU_0_TO_1:152 2.10=1 / 1.0=1
    UNSORTED_SEGMENT_PROD:153 2.10=1 / 1.0=1
    UNSORTED_SEGMENT_MAX:154 2.10=1 / 1.0=1
    UNSORTED_SEGMENT_SUM:155 2.10=1 / 1.0=1
    ATAN2:156 2.10=1 / 1.0=1
    UNSORTED_SEGMENT_MIN:157 2.11=1 / 1.0=1
    SIGN:158 2.11=1 2.12=2 / 1.0=2
    BITCAST:159 2.13=1 / 1.0=1
    BITWISE_XOR:160 2.13=1 / 1.0=1
    RIGHT_SHIFT:161 2.13=1 / 1.0=1
    STABLEHLO_ADD:163 2.16=1 / 1.0=1
    STABLEHLO_MULTIPLY:165 2.16=1 / 1.0=1
    STABLEHLO_MAXIMUM:166 2.16=1 / 1.0=1
    STABLEHLO_AND:176 2.18=1 / 1.1=1
    STABLEHLO_MINIMUM:181 2.16=1 / 1.0=1
    STABLEHLO_SCATTER:190 2.15=1 / 1.0=1
    STABLEHLO_PAD:195 2.16=1 / 1.0=1
    STABLEHLO_REDUCE_WINDOW:198 2.16=1 / 1.0=1
    STABLEHLO_GATHER:201 2.16=1 / 1.0=1
    DILATE:203 2.15=1 / 1.0=1
    STABLEHLO_RNG_BIT_GENERATOR:204 2.15=1 / 1.0=1
    REDUCE_WINDOW:205 2.15=1 / 1.0=1
    STABLEHLO_COMPOSITE:206 2.18=1 / 1.0=1
    STABLEHLO_SHIFT_LEFT:207 2.18=1 / 1.1=1
    STABLEHLO_CASE:209 2.19=1 / 1.1=1
"""

_CUSTOM = 32

Steps = tuple[tuple[Release, int], ...]


def needs(path: Path) -> tuple[Need, ...]:
    """Every operator with its version."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    found: dict[str, Need] = {}
    for index in range(model.OperatorCodesLength()):
        operator = model.OperatorCodes(index)
        code = max(operator.BuiltinCode(), operator.DeprecatedBuiltinCode())  # codes above 127 are in the newer field
        if code == _CUSTOM:
            need = Need(f"the custom operator {(operator.CustomCode() or b'').decode()}", {})
        else:
            need = _need(code, operator.Version())
        found[need.what] = need
    return tuple(found.values())


def _need(code: int, version: int) -> Need:
    name, tensorflow, litert = _OPERATORS.get(code, (f"operator {code}", (), ()))
    since = dict.fromkeys(TENSORFLOW, _first(tensorflow, version)) | {LITERT: _first(litert, version)}
    return Need(f"{name} version {version}", {runtime: first for runtime, first in since.items() if first is not None})


def _first(steps: Steps, version: int) -> Release | None:
    return next((release for release, newest in steps if newest >= version), None)


def _operators() -> dict[int, tuple[str, Steps, Steps]]:
    """Name, steps of TensorFlow's releases and steps of LiteRT's, by operator code."""
    found: dict[int, tuple[str, Steps, Steps]] = {}
    for version, text in _STEADY.items():
        for name, _, code in (item.partition(":") for item in text.split()):
            found[int(code)] = name, ((OLDEST[TENSORFLOW[0]], version),), ((OLDEST[LITERT], version),)
    for line in _CHANGED.strip().splitlines():
        operator, _, steps = line.strip().partition(" ")
        name, _, code = operator.partition(":")
        tensorflow, _, litert = steps.partition("/")
        found[int(code)] = name, _steps(tensorflow), _steps(litert)
    return found


def _steps(text: str) -> Steps:
    steps = []
    for item in text.split():
        release, _, version = item.partition("=")
        steps.append((tuple(map(int, release.split("."))), int(version)))
    return tuple(steps)


_OPERATORS = _operators()
