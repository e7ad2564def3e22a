from connectors.registry import PLATFORMS
from schedules.platforms import CADENCES, FASTEST_AT, SLOWEST, fastest


def test_every_sync_type_of_the_registry_has_its_cadence_and_no_other() -> None:
    declared = {
        platform: {sync_type.name: sync_type.every for sync_type in connector.sync_types}
        for platform, connector in PLATFORMS.items()
    }
    assert {platform: dict(cadences) for platform, cadences in CADENCES.items()} == declared


def test_an_account_may_ask_for_the_usual_cadence_and_for_real_time_where_it_is_one() -> None:
    for platform, cadences in CADENCES.items():
        for sync_type, usual in cadences.items():
            assert fastest(platform, sync_type, usual) <= usual <= SLOWEST
    assert all(set(floors) <= set(CADENCES[platform]) for platform, floors in FASTEST_AT.items())
    ten = CADENCES["slack"]["messages"]
    assert fastest("slack", "messages", ten) == ten
    assert fastest("facebook", "ads-metrics", CADENCES["facebook"]["ads-metrics"]).total_seconds() == 60
    assert fastest("linkedin", "posts", CADENCES["linkedin"]["posts"]).total_seconds() == 300
