"""Arrays as Python 2 and 3 pickled them, made by hand, and pickles that must be refused."""

import os
import pickle
import tracemalloc

import numpy as np
import pytest

from magnet_tf import legacy

ARRAYS = {
    "images": np.random.RandomState(0).uniform(size=(3, 4, 4, 1)).astype(np.float32),
    "indices": np.arange(7),
    "float64": np.linspace(0, 1, 5),
    "8-bit": np.arange(250, 256, dtype=np.uint8),
    "bool": np.array([[True, False], [False, False]]),
    "big-endian": np.arange(5, dtype=">f4"),
    "Fortran order": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "axes swapped": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "every other": np.arange(12)[::2],
    "empty": np.zeros((0, 28, 28, 1), np.float32),
    "one number": np.array(3.5),
}


def load(tmp_path, content):
    path = tmp_path / "example_carlini_0.0.pkl"
    path.write_bytes(content)
    return legacy.load_attack_data(path)


def assert_pickle_refused(tmp_path, content, *parts):
    with pytest.raises(legacy.LegacyError) as caught:
        load(tmp_path, content)
    message = str(caught.value)
    assert (
        message.startswith(f"{tmp_path / 'example_carlini_0.0.pkl'}: ")
        and "\n" not in message
    )
    for part in parts:
        assert part in message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(tmp_path, name, protocol):
    array = ARRAYS[name]
    content = pickle.dumps(array, protocol)
    result = load(tmp_path, content)
    assert type(result) is np.ndarray and result.flags.writeable
    assert result.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_numpy_1_and_2(tmp_path, protocol):
    """The module was renamed in between; its name's length is in the pickle from protocol 4 on."""
    content = pickle.dumps(ARRAYS["images"], protocol)
    names = [
        (b"numpy._core.", b"numpy.core."),
        (b"\x13numpy.core.", b"\x12numpy.core."),
    ]
    other = content
    for new, old in names:
        other = other.replace(new, old)
    assert other != content
    if protocol == 5:  # the frame is one byte shorter
        size = int.from_bytes(content[3:11], "little")
        other = other[:3] + (size - 1).to_bytes(8, "little") + other[11:]
    np.testing.assert_array_equal(load(tmp_path, other), ARRAYS["images"])


def test_arrays_of_python_2(tmp_path):
    """`pickle.dump` and `cPickle.dump(..., 2)` of np.array([0, 255, 10]) there."""
    text = rb"""cnumpy.core.multiarray
_reconstruct
p0
(cnumpy
ndarray
p1
(I0
tp2
S'b'
p3
tp4
Rp5
(I1
(I3
tp6
cnumpy
dtype
p7
(S'i8'
p8
I0
I1
tp9
Rp10
(I3
S'<'
p11
NNNI-1
I-1
I0
tp12
bI00
S'\x00\x00\x00\x00\x00\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\n\x00\x00\x00\x00\x00\x00\x00'
p13
tp14
b."""
    binary = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b"
        b"\x87Rq\x03(K\x01K\x03\x85cnumpy\ndtype\nq\x04U\x02i8K\x00K\x01\x87Rq\x05(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x18"
        + np.array([0, 255, 10], "<i8").tobytes()
        + b"tb."
    )
    for content in (text, binary):
        np.testing.assert_array_equal(load(tmp_path, content), [0, 255, 10])


def test_golden_data(golden_dir):
    folder = golden_dir / "attack_data"
    with open(folder / "example_carlini_10.0.pkl", "rb") as file:
        expected = pickle.load(file)
    result = legacy.load_attack_data(folder / "example_carlini_10.0.pkl")
    np.testing.assert_array_equal(result, expected)
    assert result.shape == (40, 28, 28, 1) and result.dtype == np.float32
    assert legacy.load_attack_data(str(folder / "example_idx.pkl")).shape == (40,)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [np.zeros(2), x]])
def test_other_names_are_refused_and_nothing_is_run(tmp_path, protocol, wrap):
    trace = tmp_path / "trace"
    content = pickle.dumps(wrap(Call(os.mkdir, str(trace))), protocol)
    assert_pickle_refused(
        tmp_path, content, f"{os.mkdir.__module__}.mkdir", "Nothing of it was run"
    )
    assert not trace.exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Call(eval, "1"), "eval"),
        (np.float32(1), "scalar"),
        (np.ma.zeros(2), "numpy.ma"),
        (np.array(["a", "b"]), "'U1'"),
        (np.array([1, None]), "'O8'"),
        (np.zeros(2, "f4,i4"), "'V8'"),
        (np.zeros(2, complex), "'c16'"),
        (np.zeros(2, "M8[s]"), "'M8'"),
        ([np.zeros(2)], "list"),
        ({"x": np.zeros(2)}, "dict"),
        ([1, 2, 3], "list"),
        (None, "NoneType"),
        (np.dtype("f4"), "DType"),
        (Call(np.ndarray, (3,)), "Array"),
        (np.ndarray, "type"),
    ],
)
def test_other_values_are_refused(tmp_path, value, name):
    assert_pickle_refused(tmp_path, pickle.dumps(value), name)


def test_codecs_serve_latin1_alone(tmp_path):
    content = (
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."
    )
    assert_pickle_refused(tmp_path, content, "'rot13'")


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_truncated_pickle(tmp_path, protocol):
    content = pickle.dumps(ARRAYS["images"], protocol)
    for length in (0, 1, 20, len(content) // 2, len(content) - 1):
        assert_pickle_refused(tmp_path, content[:length], "cut short")


def test_data_of_another_size(tmp_path):
    content = pickle.dumps(np.zeros((3, 4)), 5).replace(b"K\x03K\x04", b"K\x03K\x05")
    assert_pickle_refused(tmp_path, content, "reshape")


def test_a_huge_memo_index_takes_no_memory(tmp_path):
    """The unpickler in C took minutes for what one flipped bit makes of a MEMOIZE."""
    content = pickle.dumps(np.zeros(3), 5).replace(b"\x94", b"r\xff\xff\xff\x7f", 1)
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    np.testing.assert_array_equal(legacy.load_attack_data(path), np.zeros(3))


def test_a_huge_length_takes_no_memory(tmp_path):
    """The unpickler makes room for as many bytes as the file says before it reads them."""
    content = pickle.dumps(np.zeros(3), 5)
    at = content.index(pickle.BYTEARRAY8) + 1
    content = content[:at] + (1 << 29).to_bytes(8, "little") + content[at + 8 :]
    tracemalloc.start()
    try:
        assert_pickle_refused(tmp_path, content, "cut short")
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"no pickle", b"\x89HDF\r\n\x1a\n", b"\x00" * 100])
def test_not_a_pickle(tmp_path, content):
    assert_pickle_refused(tmp_path, content, "no pickled array")


def test_missing_pickle(tmp_path):
    with pytest.raises(
        legacy.LegacyError, match=r"example_idx\.pkl: there is no such file"
    ):
        legacy.load_attack_data(tmp_path / "example_idx.pkl")
