from tests.unit.store.conftest import store as store
