from connectors.registry import PLATFORMS
from schedules.platforms import CADENCES


def test_every_sync_type_of_the_registry_has_its_cadence_and_no_other() -> None:
    declared = {
        platform: {sync_type.name: sync_type.every for sync_type in connector.sync_types}
        for platform, connector in PLATFORMS.items()
    }
    assert {platform: dict(cadences) for platform, cadences in CADENCES.items()} == declared
