"""What a training computes in, and what compiles it."""

import keras


def in_bfloat16(model: keras.Model) -> keras.Model:
    """A copy that computes in bfloat16, except for its last layer; variables stay in float32.

    Args:
        model: compiled, of Keras's own layers.
    """
    last = model.layers[-1].name

    def clone(layer):
        config = layer.get_config()
        config["dtype"] = "float32" if layer.name == last else "mixed_bfloat16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    copy.compile_from_config(model.get_compile_config())
    return copy


def compiled_by_xla() -> bool | str:
    """Keras's `jit_compile`: on a CPU, TensorFlow's own kernels are the faster ones."""
    if keras.backend.backend() != "tensorflow" or keras.distribution.list_devices(
        "gpu"
    ):
        return "auto"
    return False
