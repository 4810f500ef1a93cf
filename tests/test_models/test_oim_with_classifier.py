import math

import torch

from mmps.models.losses.oim_loss import OIMLoss
from mmps.models.losses.oim_with_classifier import OIMWithClassifier


def test_the_cross_entropy_of_labelled_people_is_added():
    people = torch.eye(3), torch.tensor([1, -1, 0])
    loss = OIMWithClassifier(num_ids=2, embed_dim=3, queue_size=4, classifier_weight=0.2).eval()
    loss.classifier.weight.data = torch.tensor([[1.0, 0, 0], [3.0, 2.0, 1.0]])
    loss.bottleneck.running_mean.fill_(0.5)
    loss.bottleneck.running_var.fill_(0.25 - loss.bottleneck.eps)
    # Rows of eye become +1 and -1: scores (1, 0), for person 1, and (-1, -4), for person 0.
    entropies = [math.log(1 + math.exp(1 - 0)), math.log(1 + math.exp(-4 + 1))]
    alone = OIMLoss(num_ids=2, embed_dim=3, queue_size=4).eval()(*people)
    torch.testing.assert_close(loss(*people), alone + 0.2 * torch.tensor(entropies).mean())


def test_unlabelled_people_alone_give_nothing_but_statistics():
    loss = OIMWithClassifier(num_ids=2, embed_dim=3, queue_size=4)
    assert not loss.bottleneck.bias.requires_grad
    value = loss(torch.eye(3), torch.tensor([-1, -1, -1]))
    assert value.item() == 0
    value.backward()
    assert float(loss.bottleneck.running_mean.sum()) != 0
    assert loss.queue.any(1).tolist() == [True] * 3 + [False]
