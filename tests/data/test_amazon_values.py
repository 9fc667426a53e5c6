from alignrec.data.amazon_values import address_stem, plain_text


def test_entities_are_resolved_and_white_space_is_one_blank() -> None:
    assert plain_text(" Tom &amp; Jerry&#39;s\n  mug ") == "Tom & Jerry's mug"
    assert plain_text(None) is None
    assert plain_text(" \n") is None
    assert plain_text(7) == "7"


def test_the_name_of_a_picture_is_taken_from_its_address() -> None:
    assert address_stem("http://ecx.images-amazon.com/images/I/51a+bc._SY300_.jpg") == "51a+bc._SY300_"
    assert address_stem("https://m.media-amazon.com/images/I/51abc.jpg?v=2") == "51abc"
    assert address_stem(None) == ""
