"""What the tests of datasets share: TFDS with an empty folder, and without a network."""

import socket
import urllib.request

import pytest
from tensorflow_datasets.core import constants
from tensorflow_datasets.core.download import downloader


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty folder in which TFDS, which read its variable already, looks."""
    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    """No name is resolved and no proxy is set; gives the hosts asked for."""
    asked = []

    def no_name_resolution(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name_resolution)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(downloader, "MAX_RETRIES", downloader.MAX_RETRIES)  # put back
    return asked
