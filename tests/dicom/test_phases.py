import pytest

from radiomics_talent.dicom.phases import find_contrast_phase


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("ABDOMEN ART 1.0 B30f", "arterial"),
        ("Abdomen art. 3.0", "arterial"),
        ("Late arterial phase", "arterial"),
        ("FASE ARTERIAL TARDIA", "arterial"),  # codespell:ignore fase
        ("phase artérielle", "arterial"),
        ("Leber arteriell", "arterial"),
        ("portal venous", "portal-venous"),
        ("ABDOMEN_PV_3mm", "portal-venous"),
        ("Oberbauch portalvenös", "portal-venous"),
        ("Fase Portal", "portal-venous"),  # codespell:ignore fase
        ("Thorax venös", "venous"),
        ("VENOSA", "venous"),
        ("Liver delayed 3 min", "delayed"),
        ("fase tardía", "delayed"),  # codespell:ignore fase
        ("phase tardive", "delayed"),
        ("Spätphase", "delayed"),
        ("Abdomen nativ", "native"),
        ("sin contraste", "native"),
        ("S/C", "native"),
        ("non-contrast", "native"),
        ("CT NC", "native"),
        ("WO CONTRAST", "native"),
        ("C- 5mm", "native"),
        ("ohne KM", "native"),
        ("C+", "contrast"),
        ("Thorax mit KM", "contrast"),
        ("con contraste", "contrast"),
        ("Abdomen nativ art ven", ""),
        ("Part 1, Nicole, ventral", ""),
        ("1.25mm STD", ""),
        ("", ""),
    ],
)
def test_words_of_several_languages(text, phase):
    assert find_contrast_phase(text) == phase


def test_series_description_goes_before_protocol_name():
    assert find_contrast_phase("portal", "LIVER ARTERIAL") == "portal-venous"
    assert find_contrast_phase("3 mm", "LIVER ARTERIAL") == "arterial"
    assert find_contrast_phase("nativ art ven", "LIVER ARTERIAL") == "arterial"


@pytest.mark.parametrize("agent", ["", "NONE", "no", "Oral"])
def test_no_agent(agent):
    assert find_contrast_phase("Liver", agent=agent) == ""


def test_an_agent_means_contrast_unless_words_say_more():
    assert find_contrast_phase("Liver", agent="Iomeron 350") == "contrast"
    assert find_contrast_phase("Liver venous", agent="Iomeron 350") == "venous"


@pytest.mark.parametrize("secret", ["Dr Smith", "Jane Doe portal venous", "tel 555"])
def test_free_text_never_leaves(secret):
    known = {"", "native", "arterial", "portal-venous", "venous", "delayed", "contrast"}
    assert find_contrast_phase(secret, secret, agent=secret) in known
