"""Which candidate is taken."""

import pytest
import torch
from torch import Tensor, nn

from custom_components.anatomy import INDEX
from custom_components.learning.intensity_views import Gamma
from custom_components.learning.organ_candidates import OrganLogit
from custom_components.learning.ranking import CandidateRanking, candidate_ranking


class Bright(nn.Module):
    """Calls an organ what is brighter than a half."""

    calls = 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return torch.cat([torch.full_like(image, 0.5), image], 1)


def organ_share(image: Tensor, labels: Tensor) -> float:
    """A score that falls with the size of the organ."""
    assert labels.shape == (1, 1, 4, 4, 4)
    return 2 - float(labels.float().mean())


IMAGE = torch.linspace(0, 1, 64).reshape(1, 1, 4, 4, 4)
ORGAN = torch.tensor([0.0, 1.0])[None, :, None, None, None]


def rank(*, limit: float, margin: float = 0.0, gammas=(2.0, 0.25, 0.5)):
    network = Bright()
    first = network(IMAGE)
    ranking = CandidateRanking([Gamma(gamma) for gamma in gammas], limit=limit, margin=margin)
    score = organ_share(IMAGE, first.argmax(1, keepdim=True))
    return ranking(network, IMAGE, first, score, organ_share), network.calls


def test_best_candidate_is_taken_with_its_own_score_and_logits():
    taken, calls = rank(limit=0.5)
    assert calls == 4
    assert (taken.candidate, taken.first_score) == ("gamma_0.25", 1.5)
    assert torch.equal(taken.logits[:, 1:], IMAGE**0.25)
    assert taken.score == organ_share(IMAGE, taken.logits.argmax(1, keepdim=True))


def test_a_candidate_is_refined_before_it_is_scored():
    network = Bright()
    ranking = CandidateRanking([Gamma(2.0)], limit=0.5, refine=lambda image, logits: logits + (image > 0.1) * ORGAN)
    taken = ranking(network, IMAGE, network(IMAGE), 1.5, organ_share)
    assert torch.equal(taken.logits[:, 1:], IMAGE**2 + (IMAGE > 0.1))
    assert taken.score == organ_share(IMAGE, taken.logits.argmax(1, keepdim=True))


def test_a_first_result_up_to_the_limit_is_kept_and_costs_nothing():
    taken, calls = rank(limit=1.5)
    assert calls == 1
    assert (taken.candidate, taken.score) == ("first", 1.5)


def test_the_first_result_is_kept_where_no_candidate_is_better():
    taken, calls = rank(limit=0.5, gammas=(2.0, 3.0))
    assert calls == 3
    assert (taken.candidate, taken.score) == ("first", 1.5)
    assert torch.equal(taken.logits, Bright()(IMAGE))


def test_other_logits_of_an_organ_need_no_run_of_the_network_and_leave_the_first_result_alone():
    network = Bright()
    network.calls = 0
    logits = torch.zeros(1, 13, 4, 4, 4)
    logits[:, 0], logits[:, INDEX["spleen"]], logits[:, INDEX["liver"]] = 1.0, IMAGE[:, 0], 0.2
    before = logits.clone()
    sources = [OrganLogit("spleen", -2.0), OrganLogit("spleen", 0.5), OrganLogit("liver", 0.5)]
    taken = CandidateRanking(sources, limit=0.5)(network, IMAGE, logits, 2.0, organ_share)
    assert (taken.candidate, network.calls) == ("spleen_+0.5", 0)
    assert torch.equal(taken.logits.argmax(1) == INDEX["spleen"], IMAGE[:, 0] > 0.5)
    assert torch.equal(logits, before)


def test_margin_keeps_the_first_result_where_the_gain_is_small():
    assert rank(limit=0.5, gammas=(0.9,))[0].candidate == "gamma_0.9"
    assert rank(limit=0.5, gammas=(0.9,), margin=0.3)[0].candidate == "first"


def test_a_score_that_is_no_number_is_never_taken():
    ranking = CandidateRanking([Gamma(0.5)], limit=0.5)
    network = Bright()
    taken = ranking(network, IMAGE, network(IMAGE), 1.0, lambda image, labels: float("nan"))
    assert taken.candidate == "first"
    assert ranking(network, IMAGE, network(IMAGE), float("nan"), organ_share).candidate == "first"


def test_impossible_rankings_are_refused():
    with pytest.raises(ValueError, match="sources is empty"):
        CandidateRanking([], limit=0.5)
    with pytest.raises(ValueError, match="sources has gamma_2 twice"):
        CandidateRanking([Gamma(2), Gamma(2.0)], limit=0.5)
    with pytest.raises(SystemExit, match="error: candidates is 3, expected a whole number from 0 to 2"):
        candidate_ranking([Gamma(2), Gamma(3)], 3, limit=0.5, discriminator_path="x")


def test_configuration_asks_for_the_first_sources(caplog):
    sources = [Gamma(2), Gamma(3)]
    found = candidate_ranking(sources, 1, limit=0.5, discriminator_path="model.pt")
    assert found.sources == sources[:1]
    assert candidate_ranking(sources, 0, limit=0.5, discriminator_path="model.pt") is None
    assert not caplog.text
    assert candidate_ranking(sources, 2, limit=0.5, discriminator_path=None) is None
    assert "no discriminator_path to rank them by" in caplog.text
