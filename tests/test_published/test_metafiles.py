"""Metafiles of published methods, and what is made from them."""

from inspect import signature
from pathlib import Path

import pytest
from helpers import model_zoo

from mmps.apis import PersonSearcher
from mmps.deployment.two_files import DetectorFile, NetworkFile, ReIDFile
from mmps.published import find_model, list_models, models_of_methods
from mmps.published.families import FAMILIES
from mmps.utils.config import PROJECT, load_config
from mmps.utils.errors import UserError

MODELS = models_of_methods()
LISTED = list_models()
PARITY = (
    *('parity tested (generated weights)', 'parity tested (published weights)'),
    *('numbers reproduced', "not tested against its authors' program", 'no published weights'),
)


def test_the_page_and_the_index_are_up_to_date():
    """After a change of a metafile: ``PYTHONPATH=tests python -m helpers.model_zoo``."""
    assert model_zoo.PAGE.read_text() == model_zoo.page()
    assert model_zoo.INDEX.read_text() == model_zoo.index()


@pytest.mark.parametrize('name', MODELS)
def test_a_model_has_a_config_of_its_name(name):
    model = MODELS[name]
    assert Path(model.config).stem == name and (PROJECT / model.config).is_file()
    assert load_config(name, {}).filename == str(PROJECT / model.config)
    assert model.parity in PARITY
    assert set(model.licence) == {'code', 'weights'}
    assert f'{name}\n' in LISTED


def test_a_model_is_found_by_its_name():
    assert find_model('seqnet_r50_prw') == MODELS['seqnet_r50_prw']


def test_what_can_be_converted_is_listed():
    """Each family for both data sets."""
    converted = {f'{f.method}_{f.backbone}_{data}' for f in FAMILIES for data in f.identities}
    assert converted <= set(MODELS)


def test_the_example_of_two_networks_in_files_says_what_they_take():
    model = find_model(PROJECT / 'configs/two_step/exported.yml')
    assert model.is_two_files
    for part, kind in (('detector', DetectorFile), ('reid', ReIDFile)):
        given = dict(model.model[part])
        assert given.pop('type') and given['path'] in model.files
        known = {*signature(kind).parameters, *signature(NetworkFile).parameters}
        assert given.keys() <= known - {'options'}


def test_without_weights_the_error_says_where_they_are():
    with pytest.raises(UserError, match='needs a checkpoint; its authors have one: https://drive'):
        PersonSearcher('seqnet_r50_prw')
