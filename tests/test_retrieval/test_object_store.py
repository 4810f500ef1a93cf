"""Galleries in an object store: a server process on this machine that speaks S3."""

import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context

import boto3
import numpy as np
import pytest
from helpers.galleries import DIM, fill_gallery, model_tag, random_frame

from mmps.retrieval import Gallery, GalleryError, Where
from mmps.retrieval.engines import lance

QUERY = np.eye(DIM, dtype=np.float32)[0]


@pytest.fixture
def address(bucket, name):
    return f'{bucket}/{name}/people.lance'


def bytes_of(address):
    store = boto3.client('s3', endpoint_url=os.environ['AWS_ENDPOINT'])
    bucket, _, prefix = address.removeprefix('s3://').partition('/')
    objects = store.list_objects_v2(Bucket=bucket, Prefix=prefix).get('Contents', [])
    keys = [entry['Key'] for entry in objects]
    return b''.join(store.get_object(Bucket=bucket, Key=key)['Body'].read() for key in keys)


@pytest.mark.parametrize('in_use', [timedelta(0), lance.IN_USE])
@pytest.mark.filterwarnings('ignore:optimize')
def test_compaction_erases_what_was_replaced_long_enough_ago(address, in_use, monkeypatch):
    monkeypatch.setattr(lance, 'IN_USE', in_use)
    gallery = fill_gallery(address)
    people = [hit.id for hit in gallery.search(QUERY, 99, Where(sources=['secret1.mp4']))[0]]
    vectors = [row.tobytes() for row in gallery.embeddings_of(people)]
    kept = gallery.search(QUERY, 99, Where(sources=[f'secret{n}.mp4' for n in (0, 2, 3)]))
    gallery.delete_source('secret1.mp4')
    assert all(vector in bytes_of(address) for vector in vectors)
    assert gallery.compact() == f'what was deleted less than {in_use} ago is left until later'
    left = bytes_of(address)
    assert [vector in left for vector in vectors] == [in_use > timedelta(0)] * len(vectors)
    assert (b'secret1' in left) == (in_use > timedelta(0))
    assert Gallery.open(address).search(QUERY, 99) == kept


def test_dropped_is_gone(address):
    fill_gallery(address).drop()
    assert bytes_of(address) == b''
    with pytest.raises(GalleryError, match='no gallery'):
        Gallery.open(address)


def _append(address, worker):
    gallery = Gallery.open(address, model_tag(DIM))
    for number in range(4):
        rng = np.random.default_rng([worker, number])
        gallery.append([random_frame(rng, f'{worker}', 2, DIM, frame=number)])
        if worker:
            gallery.compact()


def test_processes_that_append_and_compact_at_once(address):
    Gallery.open(address, model_tag(DIM))
    with ProcessPoolExecutor(2, get_context('spawn')) as pool:
        list(pool.map(_append, itertools.repeat(address), range(2)))
    assert len(Gallery.open(address)) == 2 * 4 * 2


def test_a_store_that_does_not_answer_as_it_should(bucket, monkeypatch):
    with pytest.raises(
        GalleryError, match=r'^s3://elsewhere/people\.lance: NoSuchBucket: The spec'
    ):
        Gallery.open('s3://elsewhere/people.lance', model_tag(DIM))
    monkeypatch.setenv('AWS_ENDPOINT', 'http://127.0.0.1:1')
    with pytest.raises(GalleryError, match=r'^s3://galleries/people\.lance: Connection refused$'):
        Gallery.open('s3://galleries/people.lance', model_tag(DIM))
