"""Models as Keras 2 saved them, made by hand, and files that must be refused."""

import json
import pickle

import h5py
import keras
import numpy as np
import pytest

from magnet_tf import autoencoders, classifiers, legacy
from magnet_tf.regularizers import BatchL1L2

GLOROT = {
    "class_name": "VarianceScaling",
    "config": {
        "scale": 1.0,
        "mode": "fan_avg",
        "distribution": "uniform",
        "seed": None,
    },
}
TRAINABLE = {
    "use_bias": True,
    "kernel_initializer": GLOROT,
    "bias_initializer": {"class_name": "Zeros", "config": {}},
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
}
# what the original's programs compiled with: a loss of their own, an optimizer of the day
TRAINING_CONFIG = {
    "optimizer_config": {
        "class_name": "SGD",
        "config": {"lr": 0.01, "momentum": 0.9, "decay": 1e-06, "nesterov": True},
    },
    "loss": "fn",
    "metrics": ["accuracy"],
    "sample_weight_mode": None,
    "loss_weights": None,
}


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, "trainable": True, **config}}


def conv(name, filters, size=3, **config):
    config = {"padding": "valid", "activation": "linear", **TRAINABLE, **config}
    return layer(
        "Conv2D",
        name,
        filters=filters,
        kernel_size=[size, size],
        strides=[1, 1],
        data_format="channels_last",
        dilation_rate=[1, 1],
        **config,
    )


def dense(name, units):
    return layer("Dense", name, units=units, activation="linear", **TRAINABLE)


def relu(name):
    return layer("Activation", name, activation="relu")


def pool(kind, name, padding="valid"):
    return layer(
        kind,
        name,
        pool_size=[2, 2],
        strides=[2, 2],
        padding=padding,
        data_format="channels_last",
    )


def mnist_layers():
    """The original's classifier as Keras 2.0 wrote it: no InputLayer, and relu by itself."""
    first = {"batch_input_shape": [None, 28, 28, 1], "dtype": "float32"}
    return [
        conv("conv2d_1", 32, **first),
        relu("activation_1"),
        conv("conv2d_2", 32),
        relu("activation_2"),
        pool("MaxPooling2D", "max_pooling2d_1"),
        conv("conv2d_3", 64),
        relu("activation_3"),
        conv("conv2d_4", 64),
        relu("activation_4"),
        pool("MaxPooling2D", "max_pooling2d_2"),
        layer("Flatten", "flatten_1"),
        dense("dense_1", 200),
        relu("activation_5"),
        layer("Dropout", "dropout_1", rate=0.5),
        dense("dense_2", 200),
        relu("activation_6"),
        dense("dense_3", 10),
    ]


def cifar10_layers():
    layers = []
    for i, (filters, size) in enumerate(
        [(96, 3)] * 3 + [(192, 3)] * 3 + [(192, 3), (192, 1), (10, 1)], start=1
    ):
        layers += [conv(f"conv2d_{i}", filters, size), relu(f"activation_{i}")]
        if i in (3, 6):
            layers.append(pool("MaxPooling2D", f"max_pooling2d_{i // 3}"))
    layers[0]["config"]["batch_input_shape"] = [128, 32, 32, 3]
    average = layer(
        "GlobalAveragePooling2D",
        "global_average_pooling2d_1",
        data_format="channels_last",
    )
    return [*layers, average, dense("dense_1", 10)]


def autoencoder_layers(structure, channels):
    """The original's autoencoder: sigmoid, L2 activity regularizers, 'same' throughout."""
    layers = [
        layer(
            "InputLayer",
            "input_1",
            batch_input_shape=[None, 28, 28, channels],
            dtype="float32",
            sparse=False,
        )
    ]

    def add_conv(filters):
        layers.append(
            conv(
                f"conv2d_{len(layers)}",
                filters,
                padding="same",
                activation="sigmoid",
                activity_regularizer={
                    "class_name": "L1L2",
                    "config": {"l1": 0.0, "l2": 9.999999717180685e-10},
                },
            )
        )

    pools = {"max": "MaxPooling2D", "average": "AveragePooling2D"}
    for entry in structure:
        if entry in pools:
            layers.append(pool(pools[entry], f"{entry}_pooling2d_1", padding="same"))
        else:
            add_conv(entry)
    for entry in reversed(structure):
        if entry in pools:
            up = {"size": [2, 2], "data_format": "channels_last"}
            layers.append(layer("UpSampling2D", "up_sampling2d_1", **up))
        else:
            add_conv(entry)
    add_conv(channels)
    return layers


def functional(layers):
    """A `Model` of layers each of which is called on the one before."""
    names = [spec["config"]["name"] for spec in layers]
    inbound = [[], *([[[name, 0, 0, {}]]] for name in names[:-1])]
    return {
        "class_name": "Model",
        "config": {
            "name": "model_1",
            "layers": [
                {**spec, "name": name, "inbound_nodes": nodes}
                for spec, name, nodes in zip(layers, names, inbound)
            ],
            "input_layers": [[names[0], 0, 0]],
            "output_layers": [[names[-1], 0, 0]],
        },
    }


def sequential(layers):
    """As Keras wrote them before 2.2.3; later, as {"name": ..., "layers": [...]}."""
    return {"class_name": "Sequential", "config": layers}


def randomized(model):
    """The model with weights that are neither tiny nor zero."""
    random = np.random.RandomState(0)
    model.set_weights(
        [random.normal(0, 0.2, w.shape).astype(np.float32) for w in model.weights]
    )
    return model


def weight_names(spec):
    """Of a layer; of a nested model, those of all of its layers."""
    if spec["class_name"] == "Model":
        return [
            name for inner in spec["config"]["layers"] for name in weight_names(inner)
        ]
    own = ["kernel", "bias"] if spec["class_name"] in ("Conv2D", "Dense") else []
    return [f"{spec['config']['name']}/{part}:0" for part in own]


def packed(layers):
    """One of a pack, as `PackedAutoEncoder` saved it: a model within a model."""
    inner = functional(layers)
    shape = layers[0]["config"]["batch_input_shape"]
    outer = functional(
        [layer("InputLayer", "shared_input", batch_input_shape=shape), inner]
    )
    outer["config"]["name"] = "model_17"
    # Keras 2 counts a nested model's calls from 1: its call 0 is that on its own input
    outer["config"]["output_layers"] = [[inner["config"]["name"], 1, 0]]
    return outer


def write(path, config, like, as_bytes=True):
    """Writes a whole model as `model.save` of Keras 2 did, with another model's weights."""

    def text(value):
        value = value if isinstance(value, str) else json.dumps(value)
        return np.bytes_(value.encode()) if as_bytes else value

    arrays = iter(like.get_weights())
    specs = config["config"]
    specs = specs if isinstance(specs, list) else specs["layers"]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = text("2.0.8")
        file.attrs["backend"] = text("tensorflow")
        file.attrs["model_config"] = text(config)
        file.attrs["training_config"] = text(TRAINING_CONFIG)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [text(spec["config"]["name"]) for spec in specs]
        for spec in specs:
            name = spec["config"]["name"]
            group = weights.create_group(name)
            names = weight_names(spec)
            group.attrs["weight_names"] = [text(weight) for weight in names]
            for weight in names:
                group[weight] = next(arrays)
        optimizer = file.create_group("optimizer_weights")
        optimizer.attrs["weight_names"] = [text("training/SGD/Variable:0")]
        optimizer["training/SGD/Variable:0"] = np.zeros(3, np.float32)
    assert next(arrays, None) is None
    return path


def assert_same(model, expected):
    """The same function of images, and float32 weights to the last bit."""
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)
    x = (
        np.random.RandomState(1)
        .uniform(size=(3, *expected.input_shape[1:]))
        .astype(np.float32)
    )
    np.testing.assert_allclose(model(x), expected(x), rtol=1e-5, atol=1e-5)
    assert not model.compiled


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("bare_list", [True, False])
def test_mnist_classifier(tmp_path, as_bytes, bare_list):
    config = sequential(mnist_layers())
    if not bare_list:
        config["config"] = {"name": "sequential_1", "layers": config["config"]}
    expected = randomized(classifiers.mnist_classifier())
    model = legacy.load_model(
        write(tmp_path / "example_classifier", config, expected, as_bytes)
    )
    assert_same(model, expected)
    names = [spec["config"]["name"] for spec in mnist_layers()]
    assert [
        one.name for one in model.layers if not one.name.endswith("_input")
    ] == names


def test_cifar10_classifier(tmp_path):
    expected = randomized(classifiers.cifar10_classifier())
    path = write(
        tmp_path / "example_classifier", sequential(cifar10_layers()), expected
    )
    assert_same(legacy.load_model(str(path)), expected)


@pytest.mark.parametrize(
    ("structure", "channels"), [([3, "average", 3], 1), ([3], 3), ([4, "max", 2], 1)]
)
def test_autoencoders(tmp_path, structure, channels):
    expected = randomized(
        autoencoders.denoising_autoencoder(structure, (28, 28, channels))
    )
    config = functional(autoencoder_layers(structure, channels))
    model = legacy.load_model(write(tmp_path / "MNIST_I", config, expected))
    assert_same(model, expected)
    for one in model.layers:
        if isinstance(one, keras.layers.Conv2D):
            assert isinstance(one.activity_regularizer, BatchL1L2)
            assert one.activity_regularizer.l2 == pytest.approx(1e-9)


@pytest.mark.parametrize("structure", [[3, "average", 3], [3]])
def test_autoencoders_of_a_pack(tmp_path, structure):
    expected = randomized(autoencoders.denoising_autoencoder(structure, (28, 28, 1)))
    path = write(
        tmp_path / "PAE_MNIST_I_0", packed(autoencoder_layers(structure, 1)), expected
    )
    model = legacy.load_model(path)
    assert_same(model, expected)
    assert [one.name for one in model.layers] == ["shared_input", "model_1"]
    with h5py.File(path, "a") as file:  # as where the first layer is not trained
        group = file["model_weights/model_1"]
        names = group.attrs["weight_names"]
        group.attrs["weight_names"] = [*names[2:], *names[:2]]
    assert_same(legacy.load_model(path), expected)


def test_a_model_that_begins_with_a_model(tmp_path):
    expected = randomized(autoencoders.denoising_autoencoder([3], (28, 28, 1)))
    config = sequential([functional(autoencoder_layers([3], 1))])
    assert_same(legacy.load_model(write(tmp_path / "m", config, expected)), expected)


def test_a_pack_file_with_a_part_missing(tmp_path):
    model = randomized(autoencoders.denoising_autoencoder([3], (28, 28, 1)))
    config = packed(autoencoder_layers([3], 1))
    whole = write(tmp_path / "PAE_MNIST_II_0", config, model).read_bytes()

    def without(edit):
        path = tmp_path / "PAE_MNIST_II_1"
        path.write_bytes(whole)
        with h5py.File(path, "a") as file:
            edit(file)
        return path

    def lacks(part):
        def edit(file):
            del file[f"model_weights/model_1{part}"]

        return without(edit)

    weights = "weights of layer 'model_1'"
    assert_refused(lacks(""), weights, "missing")
    assert_refused(lacks("/conv2d_2"), weights, "missing", "conv2d_2/kernel:0")

    def with_layers(change):
        spoilt = json.loads(json.dumps(config))
        change(spoilt["config"]["layers"][1]["config"]["layers"])
        text = json.dumps(spoilt)
        return without(lambda file: file.attrs.update(model_config=text))

    assert_refused(with_layers(lambda layers: layers.pop(1)), "'conv2d_1'", "missing")
    spoil = with_layers(lambda layers: layers[2].update(class_name="Lambda"))
    assert_refused(spoil, "'conv2d_2' is a Lambda", "none is run")


@pytest.mark.parametrize(
    "file",
    [
        "models/example_classifier",
        "defensive_models/MNIST_I",
        "defensive_models/MNIST_II",
    ],
)
def test_golden_files(golden_dir, file):
    """Weights to the last bit; what the models then compute is in test_parity.py."""
    model = legacy.load_model(golden_dir / file)
    arrays = {}
    with h5py.File(golden_dir / file) as original:
        original["model_weights"].visititems(
            lambda name, item: (
                arrays.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    assert len(arrays) == len(model.weights)
    for one in model.layers:
        for variable in one.weights:
            expected = arrays[f"{one.name}/{one.name}/{variable.name}:0"]
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(variable), expected
            )


def test_loaded_model_saves_as_keras_3_does(tmp_path, originals, clean):
    originals.I.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again(clean.images), originals.I(clean.images))


@pytest.fixture
def saved(tmp_path):
    """A small autoencoder's file, to be spoilt: input_1, conv2d_1, conv2d_2, conv2d_3."""
    config = functional(autoencoder_layers([3], 1))
    model = randomized(autoencoders.denoising_autoencoder([3], (28, 28, 1)))
    return write(tmp_path / "MNIST_II", config, model)


def edited(path, edit):
    """The file with its model_config changed by a function of it."""
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config["config"]["layers"], config)
        file.attrs["model_config"] = json.dumps(config)
    return path


def assert_refused(path, *parts):
    """One sentence or two on one line, which name the file and the parts at fault."""
    with pytest.raises(legacy.LegacyError) as caught:
        legacy.load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for part in parts:
        assert part in message


def test_missing_file(tmp_path):
    assert_refused(tmp_path / "MNIST_I", "no such file")
    assert_refused(tmp_path, "no such file")


def test_not_hdf5(tmp_path):
    path = tmp_path / "MNIST_I"
    for content in (b"", b"no model", pickle.dumps(np.zeros(3))):
        path.write_bytes(content)
        assert_refused(path, "not an HDF5 file")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    assert_refused(saved, "cut short")


def test_not_a_whole_model(tmp_path):
    path = tmp_path / "weights"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv2d_1"]
        file["conv2d_1/kernel:0"] = np.zeros((3, 3, 1, 3))
    assert_refused(path, "model_config", "save_weights")


@pytest.mark.parametrize(
    "config", ["", "{", "[]", "null", '{"class_name": "Sequential"}']
)
def test_garbled_configuration(saved, config):
    with h5py.File(saved, "a") as file:
        file.attrs["model_config"] = config
    assert_refused(saved, "not as Keras 2")


def test_lacks_all_weights(saved):
    with h5py.File(saved, "a") as file:
        del file["model_weights"]
    assert_refused(saved, "model_weights")


@pytest.mark.parametrize(
    "name", ["conv2d_2", "conv2d_2/conv2d_2", "conv2d_2/conv2d_2/bias:0"]
)
def test_lacks_a_weight(saved, name):
    with h5py.File(saved, "a") as file:
        del file["model_weights"][name]
    assert_refused(saved, "weights of layer 'conv2d_2'", "missing")


def test_lacks_weight_names(saved):
    with h5py.File(saved, "a") as file:
        del file["model_weights/conv2d_1"].attrs["weight_names"]
    assert_refused(saved, "weights of layer 'conv2d_1'", "missing")


def test_fewer_weights_than_the_layer_has(saved):
    with h5py.File(saved, "a") as file:
        file["model_weights/conv2d_1"].attrs["weight_names"] = [b"conv2d_1/kernel:0"]
    assert_refused(saved, "weights of layer 'conv2d_1'", "(3, 3, 1, 3)", "(3,)")


def test_weight_of_another_shape(saved):
    with h5py.File(saved, "a") as file:
        del file["model_weights/conv2d_3/conv2d_3/kernel:0"]
        file["model_weights/conv2d_3/conv2d_3/kernel:0"] = np.zeros(
            (3, 3, 1, 3), np.float32
        )
    assert_refused(saved, "weights of layer 'conv2d_3'", "(3, 3, 1, 3)", "(3, 3, 3, 1)")


@pytest.mark.parametrize("position", [1, 2, 4])
def test_lambda(saved, position):
    """Wherever it stands, and whatever it holds: it is not even read."""
    code = {
        "function": ["4wEAAAA=\n", None, None],
        "function_type": "lambda",
        "arguments": {},
    }
    spec = {
        **layer("Lambda", "lambda_1", **code),
        "name": "lambda_1",
        "inbound_nodes": [],
    }
    edited(saved, lambda layers, _: layers.insert(position, spec))
    assert_refused(saved, "'lambda_1' is a Lambda", "Python code", "without it")


@pytest.mark.parametrize(
    "kind", ["Convolution2D", "BatchNormalization", "Evil", "Input"]
)
def test_class_that_is_not_read(saved, kind):
    edited(saved, lambda layers, _: layers[2].update(class_name=kind))
    assert_refused(saved, "'conv2d_2'", repr(kind), "Conv2D", "UpSampling2D")


@pytest.mark.parametrize(
    "activation",
    ["hard_sigmoid", "fn", {"class_name": "function", "config": "fn"}, None],
)
def test_activation_that_is_not_read(saved, activation):
    edited(saved, lambda layers, _: layers[3]["config"].update(activation=activation))
    assert_refused(saved, "'conv2d_3'", "activation", repr(activation), "sigmoid")


def test_regularizer_that_is_not_read(saved):
    own = {"class_name": "Mine", "config": {}}
    edited(
        saved, lambda layers, _: layers[1]["config"].update(activity_regularizer=own)
    )
    assert_refused(saved, "'conv2d_1'", "'Mine'")


def test_layer_without_a_needed_argument(saved):
    edited(saved, lambda layers, _: layers[1]["config"].pop("filters"))
    assert_refused(saved, "'conv2d_1'", "filters")


def test_layers_that_do_not_fit(saved):
    flat = {"class_name": "Flatten", "config": {"name": "conv2d_1"}}
    edited(saved, lambda layers, _: layers[1].update(flat))
    assert_refused(saved, "'conv2d_2' does not fit its input")


def test_no_input_shape(saved):
    edited(saved, lambda layers, _: layers[0]["config"].pop("batch_input_shape"))
    assert_refused(saved, "'input_1'", "batch_input_shape")


@pytest.mark.parametrize(
    "nodes",
    [
        [[["conv2d_1", 0, 0, {}], ["input_1", 0, 0, {}]]],
        [[["conv2d_1", 0, 0, {}]], [["input_1", 0, 0, {}]]],
        [[["conv2d_3", 0, 0, {}]]],
        [],
    ],
    ids=["two inputs", "called twice", "a circle", "no input"],
)
def test_not_a_chain(saved, nodes):
    edited(saved, lambda layers, _: layers[2].update(inbound_nodes=nodes))
    assert_refused(saved, "conv2d_", "chain of layers")


@pytest.mark.parametrize("end", ["input_layers", "output_layers"])
def test_several_ends(saved, end):
    edited(saved, lambda _, config: config["config"][end].append(["conv2d_1", 0, 0]))
    assert_refused(saved, "one input and one output")


def test_model_of_another_kind(saved):
    edited(saved, lambda _, config: config.update(class_name="Mine"))
    assert_refused(saved, "'Mine'", "Sequential")
