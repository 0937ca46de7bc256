from ops.reconcile.groups import together


def test_what_names_a_common_object_is_together_in_the_given_order() -> None:
    named = [("a", ["x"]), ("b", ["y"]), ("c", ["x", "z"]), ("d", ["z"])]

    assert together(named, {}) == [["a", "c", "d"], ["b"]]


def test_a_later_one_joins_two_groups() -> None:
    named = [("a", ["x"]), ("b", ["y"]), ("c", ["y", "x"])]

    assert together(named, {}) == [["a", "b", "c"]]


def test_objects_of_one_party_are_together_though_none_names_the_other() -> None:
    named = [("a", ["x"]), ("b", ["y"]), ("c", ["v"])]

    assert together(named, {"x": "party", "y": "party"}) == [["a", "b"], ["c"]]
