"""How to read a report, in plain words."""

from gravlensdiffusion.evaluation.faults import FAR

WORDS = {
    "value": (
        "Generated images compared with real ones. The lens Fréchet distance compares mean and "
        "spread of features in which a small network, trained on simulated lenses, sees lens "
        "physics. A measure of lens physics is the Wasserstein distance between two distributions: "
        "how far values must be moved on average to turn one into the other, in units of the "
        "scatter of the real images. Most values are smaller the better; precision, recall, "
        "density and coverage should be like their floor; an AUC should be 0.5."
    ),
    "floor": (
        "What real images get against other real images, at the same numbers of images, as mean ± "
        "standard deviation over several draws. No generator can be expected to do better, and a "
        "value means nothing without it: few images give large distances whatever they show."
    ),
    "ratio": (
        "Value over floor, for distances. 1: as good as real images at this number of images."
    ),
    "z": (
        "Value less floor, in units of the floor's standard deviation. Rows beyond "
        f"{FAR:g} are marked. The standard deviation comes from a few draws only, so one or "
        "two rows in a hundred are marked by chance."
    ),
    "corrected": (
        "The value extrapolated to infinitely many images, where the floor is 0: what is left is "
        "the difference between the generator and reality. Values of different numbers of images "
        "can be compared by it."
    ),
    "shift": ("How far the mean of a statistic is off, relative to the real mean."),
    "p": (
        "Probability that two sets of real images differ as much as these: for lens physics by the "
        "Kolmogorov-Smirnov test. With many images it is small for differences that do not matter."
    ),
    "equivalent": (
        "The defect that would give the same value if it were planted in real images: flux or noise "
        "off by so much, a blur or a shift of so many pixels, or so many images turned."
    ),
    "two-sample test": (
        "A classifier is trained to tell generated from real images and tried on images that it "
        "has not seen. The area under its ROC curve (AUC) is 0.5 if it can only guess, and 1 if it "
        "is always right."
    ),
    "memorisation": (
        "Copies of training images would lie nearer to the training set than real images do that "
        "the generator has not seen. Both are compared: by the median distance, whose ratio should "
        "be 1, and by how many generated images lie nearer than the nearest held-out ones."
    ),
}
"""Each term of a report and what it means."""
