"""What the rules say to people, by name: what each demands, what goes wrong without it, what to do when it fails."""

from typing import NamedTuple


class Words(NamedTuple):
    """What a rule demands (`{limit}` stands for its bound), its purpose, and what to do where it is broken."""

    demand: str
    purpose: str
    action: str


_ROWS = {
    "record_readable": Words(
        "the reader could make a record of label and picture",
        "A label or picture that nobody can read would end training in the middle, or be left out without a word.",
        "mend the file or line that the reason names, or fetch it again",
    ),
    "max_pixels": Words(
        "the picture has at most {limit} pixels",
        "One picture of absurd size takes all memory of a machine, by accident or as an attack.",
        "scale the picture down, or raise validate.max_pixels",
    ),
    "picture_decodes": Words(
        "the picture decodes whole, to the bytes and the size that were indexed",
        "A cut or altered file shows something else than what was labelled; decoders fill the gap with grey.",
        "open the file; fetch it again or delete it, then `rmtl index`",
    ),
    "min_side": Words(
        "the shorter side of the picture has at least {limit} pixels",
        "A face of a few pixels shows neither expression nor eye corner, so that its label teaches noise.",
        "put a larger picture in its place, or leave it out",
    ),
    "expression_known": Words(
        "the expression is one of {limit}",
        "A name outside the classes has no place in the answer, and a misspelt one turns into a missing label.",
        "correct the name in the labels",
    ),
    "points_count": Words(
        "there are {limit} points",
        "In a list that is too short or too long, every later point names another place of the face.",
        "annotate the face anew, or correct the file",
    ),
    "points19_count": Words(
        "a face of AFLW has {limit} points",
        "The 19 points have a head of their own, which would take any other list for other places of the face.",
        "compare the row with the table of the benchmark",
    ),
    "points_finite": Words(
        "every coordinate is a finite number",
        "One coordinate that is no number makes the loss no number, and then every weight.",
        "correct the coordinate in the file",
    ),
    "points_inside": Words(
        "no point lies more than {limit} picture sizes outside",
        "Points far outside belong to another picture or another scale and pull the crop off the face.",
        "check that points and picture belong together, at one scale",
    ),
    "shape_plausible": Words(
        "the points form a face: their distance to the mean face is at most {limit}",
        "With swapped axes or another numbering every single number looks right, and scrambled faces are learnt.",
        "look for x and y swapped, or points in another order",
    ),
    "numbering_sound": Words(
        "no other numbering comes nearer to the mean face by more than {limit}",
        "A wrong order of one part hardly moves the whole shape, yet it teaches that part mirrored.",
        "renumber the part that the reason names",
    ),
    "orientation_fits": Words(
        "the points are turned by at most {limit} degrees",
        "Where a picture was turned without its points, every landmark teaches a place where the face is not.",
        "turn the points with the picture",
    ),
    "box_sane": Words(
        "the box gives two corners, in order and near the picture",
        "Every crop begins with the box: an empty or distant one puts background under the label of a face.",
        "correct the box: left, upper, right, lower edge",
    ),
    "box_holds_points": Words(
        "the box and the tight box of the points overlap by at least {limit}",
        "A box around another face, or a size taken for a corner, cuts the picture where the points are not.",
        "compare box and points: corner and size, face, scale",
    ),
    "labelled": Words(
        "there are points or one of the seven expressions",
        "A face without a label teaches nothing, but would be counted and drawn as if it did.",
        "nothing, unless the label should be one of the seven",
    ),
}

_LEAKS = {
    "exact_duplicates": Words(
        "no picture has the bytes of one in a more protected split",
        "A test picture that was trained on is answered from memory: the measured error is too good to be true.",
        "delete the copy in the less protected split",
    ),
    "near_duplicates": Words(
        "no picture looks like one in a more protected split, mirrored or not",
        "A compressed, scaled or mirrored copy gives the answer away as the original does, and no digest shows it.",
        "look at both pictures; delete the copy",
    ),
    "groups_apart": Words(
        "no person and no photo stands in two splits",
        "A network that knows the person answers by the person; the test would not tell how strangers fare.",
        "put all faces of the group into one split",
    ),
}

_SETS = {
    "records_unique": Words(
        "every record id stands once",
        "Quarantine, exclusions and predictions name faces by their id; two faces with one id cannot be told apart.",
        "look for the face that is listed twice",
    ),
    "splits_filled": Words(
        "each of {limit} holds faces",
        "Nothing is learnt without train, no epoch can be chosen without val, and nothing is measured without test.",
        "name its folders in index.sources, or set index.holdout",
    ),
    "classes_present_train": Words(
        "train holds every expression",
        "An expression that training never shows is never answered.",
        "add faces of it to train",
    ),
    "classes_present_val": Words(
        "val holds every expression",
        "The epoch that is kept is chosen by val, which cannot see a loss of an expression that it lacks.",
        "add faces of it to val, or raise index.holdout",
    ),
    "classes_present_test": Words(
        "test holds every expression",
        "The test says nothing about an expression that it lacks, and its average is one over the others.",
        "add faces of it to test",
    ),
}

OFFICIAL_COUNT = "official_count_"
_COUNT = Words(
    "{part} has the {limit} labelled faces of the benchmark",
    "Figures on {part} compare with the literature only while no face of it is missing or there twice.",
    "compare your copy with the benchmark, or set validate.expected",
)

_TRAITS = {
    "brightness": "Darker or lighter pictures change the error by themselves, and the network would be blamed for it.",
    "contrast": "Flat light hides the edges that landmarks are found by, and errors of two versions no longer compare.",
    "sharpness": "In blurred pictures nobody places a landmark well, so that a better network can look worse.",
    "face_size": "Small faces are harder than large ones; another mix of sizes looks like another network.",
    "yaw": "Heads that turn further hide half of their points, and the error grows whatever is trained.",
    "pitch": "Heads that look up or down squeeze brows and chin, on which both tasks lean.",
    "roll": "Heads that tilt further leave the range that augmentation covers.",
    "expression": "Another mix of expressions moves accuracy although each of them is answered as before.",
    "landmarks": "Where faces gain or lose their points, the landmark task learns from others than before.",
    "age": "Another mix of ages changes whom the figures speak for.",
    "gender": "Another share of men and women can hide a loss for one behind a gain for the other.",
    "race": "A group that shrinks is measured on too few faces to see that the network fails it.",
    "skin": "Skin tones differ in contrast; a shift to the easier ones hides what happens to the others.",
}

_SHIFTED = "look at what changed; `rmtl data accept` if it is wanted"

_WORDS = {
    **_ROWS,
    **_LEAKS,
    **_SETS,
    **{
        f"drift_{trait}": Words(
            f"{trait} is spread as in the accepted version: PSI at most {{limit}}", purpose, _SHIFTED
        )
        for trait, purpose in _TRAITS.items()
    },
}


def words_of(name: str, limit: str) -> Words:
    """The words of a rule, with its bound put in."""
    if name.startswith(OFFICIAL_COUNT):
        part = name.removeprefix(OFFICIAL_COUNT)
        words = Words(*(text.replace("{part}", part) for text in _COUNT))
    else:
        words = _WORDS[name]
    return words._replace(demand=words.demand.replace("{limit}", limit))
