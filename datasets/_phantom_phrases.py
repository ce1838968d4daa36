"""The words of the phantom's radiologists: for each fact the sentences that state it, the commonest first.

Every phrase carries the CheXpert values that it states, so that labels follow from the text by construction.
A phrase about a finding states that finding's class as present unless it says otherwise.

Fields: {side} left, right or bilateral; {lobe} "left upper lobe"; {zone} "left upper lung zone"; {grade} mild,
moderate, severe; {gradely} the adverb; {size} small, moderate, large; {word} a severity word of the form's own;
{long} a measured diameter.
"""

from __future__ import annotations

from dataclasses import dataclass

PRESENT, ABSENT, UNCERTAIN = 1.0, 0.0, -1.0


@dataclass(frozen=True)
class Phrase:
    """A sentence (or, in impressions, a noun phrase) and what it states beyond its fact."""

    text: str
    states: tuple[tuple[str, float], ...] = ()


def _say(text: str, present: str = "", absent: str = "", uncertain: str = "") -> Phrase:
    """Classes are separated by commas."""
    groups = ((present, PRESENT), (absent, ABSENT), (uncertain, UNCERTAIN))
    return Phrase(text, tuple((name, value) for names, value in groups for name in names.split(", ") if name))


_CARD, _MEDI = "Cardiomegaly", "Enlarged Cardiomediastinum"
_CONS, _OPAC, _LESION, _EDEMA, _PNEU = "Consolidation", "Lung Opacity", "Lung Lesion", "Edema", "Pneumonia"
_EFF, _PTX, _FRAC = "Pleural Effusion", "Pneumothorax", "Fracture"

WORDS = {
    "consolidation": ("", "patchy", "focal", "dense"),
    "ground-glass opacity": ("", "faint", "hazy"),
    "wide mediastinum": ("", "mildly", "markedly"),
}
"""{word} for each grade."""

FINDINGS: dict[str, tuple[Phrase, ...]] = {
    "cardiomegaly": (
        _say("The heart is {gradely} enlarged, with a widened cardiothoracic ratio."),
        _say("There is {grade} cardiomegaly with an increased cardiothoracic ratio."),
        _say("The cardiac silhouette is {gradely} enlarged."),
        _say("{grade} enlargement of the cardiac silhouette is present."),
        _say("Heart size is {gradely} increased."),
    ),
    "wide mediastinum": (
        _say("The superior mediastinum is {word} widened with prominent contours."),
        _say("There is {word} widening of the superior mediastinum."),
        _say("The upper mediastinal contour is {word} widened."),
        _say("{word} increased width of the mediastinal contour is noted."),
    ),
    "edema": (
        _say("There is {grade} pulmonary edema with indistinct perihilar vessels."),
        _say("{grade} interstitial pulmonary edema is present, with perihilar haze and vascular indistinctness."),
        _say("Perihilar haziness and vascular engorgement are consistent with {grade} pulmonary edema."),
        _say("The pulmonary vasculature is indistinct, compatible with {grade} edema."),
        _say("Diffuse bilateral interstitial markings reflect {grade} pulmonary edema."),
    ),
    "consolidation": (
        _say("There is {word} consolidation in the {lobe}, concerning for pneumonia.", uncertain=_PNEU),
        _say("{word} consolidation is seen in the {lobe}."),
        _say("{word} consolidation is present in the {lobe}, compatible with pneumonia.", present=_PNEU),
        _say("A {word} area of consolidation is noted in the {lobe} and may represent pneumonia.", uncertain=_PNEU),
        _say("There is {word} consolidative opacity in the {lobe} with air bronchograms.", present=_OPAC),
        _say("The {lobe} shows {word} airspace consolidation, suspicious for pneumonia.", uncertain=_PNEU),
    ),
    "ground-glass opacity": (
        _say("There is a {word} ground-glass opacity in the {lobe} with ill-defined margins."),
        _say("{word} ground-glass opacity in the {zone} may represent early pneumonia.", uncertain=_PNEU),
        _say("A {word} ill-defined opacity projects over the {zone}."),
        _say("{word} opacification is present in the {lobe} and is nonspecific."),
        _say("There is a {word} opacity in the {lobe}, without air bronchograms."),
    ),
    "plate-like atelectasis": (
        _say("There is linear plate-like atelectasis at the {zone}."),
        _say("Plate-like atelectasis is seen at the {zone}."),
        _say("Linear opacity at the {zone} is consistent with subsegmental atelectasis.", present=_OPAC),
        _say("Streaky {side} basilar opacity is compatible with atelectasis.", present=_OPAC),
        _say("Discoid atelectasis is noted in the {lobe}."),
    ),
    "lobar collapse": (
        _say("There is complete atelectasis of the {lobe} with volume loss on the {side}."),
        _say("The {lobe} is collapsed, with associated volume loss and shift of the hilum."),
        _say("Volume loss and increased density in the {zone} are consistent with {lobe} atelectasis."),
        _say("There is collapse of the {lobe}."),
        _say("Findings of {lobe} collapse are present, with elevation of the {side} hemidiaphragm."),
    ),
    "nodule": (
        _say("There is a well-circumscribed {long} nodule in the {lobe}."),
        _say("A rounded {long} nodule is seen in the {lobe}."),
        _say("A {long} nodular opacity projects over the {zone}.", present=_OPAC),
        _say("A well-circumscribed nodule in the {lobe} measures {long}."),
        _say("Within the {lobe} there is a solitary pulmonary nodule measuring {long}."),
    ),
    "mass": (
        _say("There is a {long} mass in the {lobe}, concerning for malignancy."),
        _say("A {long} mass is seen in the {lobe}."),
        _say("A large mass in the {lobe} measures {long}."),
        _say("A lobulated mass measuring {long} occupies the {lobe}."),
        _say("A {long} rounded mass projects over the {zone}, suspicious for a primary neoplasm."),
    ),
    "effusion": (
        _say("There is a {size} {side} pleural effusion with blunting of the {side} costophrenic angle."),
        _say("A {size} {side} pleural effusion is present with blunting of the costophrenic angle."),
        _say("{size} {side} pleural effusion is seen."),
        _say("A {size} {side} pleural effusion layers at the base."),
        _say("Opacification of the {side} costophrenic angle reflects a {size} pleural effusion.", present=_OPAC),
    ),
    "bilateral effusion": (
        _say("There are {size} bilateral pleural effusions with blunting of both costophrenic angles."),
        _say("{size} pleural effusions are present bilaterally."),
        _say("{size} pleural effusions are seen on both sides."),
        _say("Both costophrenic angles are blunted by {size} pleural effusions."),
    ),
    "pneumothorax": (
        _say("There is a {size} {side} pneumothorax with a visible pleural line."),
        _say("A {size} {side} apical pneumothorax is present."),
        _say("{size} {side} pneumothorax is seen."),
        _say("A visceral pleural line on the {side} indicates a {size} pneumothorax."),
    ),
    "apical pleural thickening": (
        _say("There is smooth pleural thickening at the {side} lung apex."),
        _say("{side} apical pleural thickening is noted."),
        _say("Pleural thickening is seen at the {side} apex."),
        _say("The {side} apex shows pleural thickening."),
    ),
    "bilateral apical pleural thickening": (
        _say("There is smooth pleural thickening at both lung apices."),
        _say("Biapical pleural thickening is noted."),
        _say("Bilateral apical pleural thickening is seen."),
    ),
    "rib fracture": (
        _say("There is a mildly displaced fracture of {a_rib}."),
        _say("A displaced {side} rib fracture is seen in the {region} chest."),
        _say("A fracture of {a_rib} is noted."),
        _say("A mildly displaced fracture involves {a_rib}."),
    ),
    "pacemaker": (
        _say("A {side}-sided pacemaker is in place with a lead terminating in the right ventricle."),
        _say("{side} chest wall pacemaker is present with lead in the expected position."),
        _say("A {side} pectoral pacemaker generator is noted with a lead projecting over the right ventricle."),
        _say("Cardiac pacing device overlies the {side} chest with intact lead."),
    ),
    "central line": (
        _say("A {side} internal jugular central venous catheter terminates in the superior vena cava."),
        _say("{side} central venous line is in place with its tip in the SVC."),
        _say("The tip of a {side} central venous catheter projects over the mid SVC."),
        _say("A {side} central catheter ends in the SVC."),
    ),
    "endotracheal tube": (
        _say("The endotracheal tube terminates above the carina in standard position."),
        _say("An endotracheal tube is in place with its tip above the carina."),
        _say("Endotracheal tube is in appropriate position."),
        _say("The patient is intubated, with the tube tip well above the carina."),
    ),
    "sternotomy wires": (
        _say("Median sternotomy wires are intact."),
        _say("The patient is status post median sternotomy with intact wires."),
        _say("Midline sternotomy wires are noted and appear aligned."),
        _say("Sternal wires from prior median sternotomy are present."),
    ),
    "chest tube": (
        _say("A {side}-sided chest tube is in place."),
        _say("A {side} chest tube projects over the {side} hemithorax."),
        _say("{side} pleural drain is seen with its tip directed towards the apex."),
        _say("There is a chest tube on the {side}."),
    ),
}
"""Sentences of the findings section. The {side} of what lies on both sides needs words of its own (`bilateral …`)."""

HEDGED: dict[str, tuple[Phrase, ...]] = {
    "effusion": (
        _say("Blunting of the {side} costophrenic angle may represent a small pleural effusion.", uncertain=_EFF),
        _say("There is a possible small {side} pleural effusion.", uncertain=_EFF),
    ),
    "consolidation": (
        _say("Subtle opacity in the {lobe} may represent early consolidation.", present=_OPAC, uncertain=_CONS),
        _say("There is possible consolidation in the {lobe}.", uncertain=_CONS),
    ),
    "edema": (
        _say("Prominent perihilar vessels could reflect mild pulmonary edema.", uncertain=_EDEMA),
        _say("There is possible mild pulmonary edema.", uncertain=_EDEMA),
    ),
    "pneumothorax": (
        _say("A faint line at the {side} apex may represent a small pneumothorax.", uncertain=_PTX),
        _say("There is a possible small {side} apical pneumothorax.", uncertain=_PTX),
    ),
    "cardiomegaly": (
        _say("The heart is possibly mildly enlarged.", uncertain=_CARD),
        _say("There is questionable mild cardiomegaly.", uncertain=_CARD),
    ),
}
"""What is written instead where the reader is not sure of a finding of the first grade."""

SUMMARIES: dict[str, tuple[Phrase, ...]] = {
    "cardiomegaly": (
        _say("{grade} cardiomegaly with an enlarged cardiac silhouette"),
        _say("{grade} cardiomegaly"),
        _say("{gradely} enlarged heart"),
    ),
    "wide mediastinum": (
        _say("{word} widened mediastinum, for which chest CT could be considered"),
        _say("{word} widened mediastinum"),
        _say("widened mediastinum"),
        _say("widening of the mediastinum"),
    ),
    "edema": (_say("{grade} pulmonary edema"), _say("{grade} interstitial pulmonary edema"), _say("{grade} edema")),
    "consolidation": (
        _say("{lobe} consolidation concerning for pneumonia", uncertain=_PNEU),
        _say("{lobe} consolidation most consistent with pneumonia", present=_PNEU),
        _say("{lobe} consolidation compatible with pneumonia", present=_PNEU),
        _say("{word} consolidation in the {lobe}, likely pneumonia", uncertain=_PNEU),
    ),
    "ground-glass opacity": (
        _say("{word} {lobe} opacity"),
        _say("{word} {lobe} opacity, possibly early pneumonia", uncertain=_PNEU),
        _say("nonspecific opacity in the {lobe}"),
    ),
    "plate-like atelectasis": (_say("{side} basilar atelectasis"), _say("linear atelectasis at the {zone}")),
    "lobar collapse": (_say("{lobe} collapse"), _say("atelectasis of the {lobe} with volume loss")),
    "nodule": (
        _say("{long} {lobe} nodule, for which chest CT is recommended"),
        _say("{long} nodule in the {lobe}"),
        _say("{lobe} nodule, and follow-up with chest CT is advised"),
    ),
    "mass": (
        _say("{long} {lobe} mass concerning for malignancy, and chest CT is recommended"),
        _say("{lobe} mass suspicious for malignancy"),
        _say("{long} mass in the {lobe}"),
    ),
    "effusion": (_say("{size} {side} pleural effusion"), _say("{side} pleural effusion, {size} in size")),
    "bilateral effusion": (_say("{size} bilateral pleural effusions"), _say("bilateral pleural effusions")),
    "pneumothorax": (
        _say("{size} {side} pneumothorax, for which short interval follow-up is advised"),
        _say("{size} {side} pneumothorax"),
        _say("{size} {side} apical pneumothorax"),
    ),
    "apical pleural thickening": (_say("{side} apical pleural thickening"),),
    "bilateral apical pleural thickening": (_say("biapical pleural thickening"),),
    "rib fracture": (_say("displaced {side} {region} rib fracture"), _say("fracture of {a_rib}")),
    "pacemaker": (_say("{side}-sided pacemaker in place"),),
    "central line": (_say("{side} central venous catheter in the SVC"), _say("{side} central line in good position")),
    "endotracheal tube": (
        _say("endotracheal tube in standard position"),
        _say("satisfactory endotracheal tube position"),
    ),
    "sternotomy wires": (_say("prior median sternotomy with intact wires"),),
    "chest tube": (_say("{side} chest tube in place"), _say("{side}-sided chest tube in position")),
}
"""Noun phrases of the impression."""

HEDGED_SUMMARIES: dict[str, tuple[Phrase, ...]] = {
    "effusion": (_say("possible small {side} pleural effusion", uncertain=_EFF),),
    "consolidation": (_say("possible early {lobe} pneumonia", uncertain=_PNEU),),
    "edema": (_say("possible mild pulmonary edema", uncertain=_EDEMA),),
    "pneumothorax": (_say("possible small {side} apical pneumothorax", uncertain=_PTX),),
    "cardiomegaly": (_say("possible mild cardiomegaly", uncertain=_CARD),),
}

LUNGS_CLEAR = (
    _say("The lungs are clear without focal consolidation.", absent=_CONS),
    _say("Lungs are well aerated and clear."),
    _say("No focal consolidation is identified in either lung.", absent=_CONS),
    _say("Both lungs are normally aerated, with no airspace disease."),
    _say("There is no evidence of pneumonia or pulmonary edema.", absent=f"{_PNEU}, {_EDEMA}"),
    _say("Lung parenchyma appears unremarkable bilaterally."),
    _say("No suspicious nodule, mass or consolidation is present.", absent=f"{_LESION}, {_CONS}"),
    _say("The lung fields show no focal abnormality."),
    _say("Aeration of the lungs is good, without infiltrate."),
)
LUNGS_OTHERWISE = (
    _say("The lungs are otherwise clear."),
    _say(""),
    _say("Elsewhere the lungs are clear."),
    _say("The remaining lung fields are well aerated."),
    _say("No additional abnormality is seen in the lungs."),
)
NO_CONSOLIDATION = (
    _say("No focal consolidation is seen.", absent=_CONS),
    _say("There is no focal consolidation.", absent=_CONS),
    _say(""),
    _say("The lungs are otherwise clear."),
    _say("No evidence of consolidation.", absent=_CONS),
)
CLEAR_AND_DRY = (
    _say("There is no focal consolidation, pleural effusion or pneumothorax.", absent=f"{_CONS}, {_EFF}, {_PTX}"),
    _say("No consolidation, effusion or pneumothorax is seen.", absent=f"{_CONS}, {_EFF}, {_PTX}"),
)
"""Lungs and pleura in one sentence."""
NO_EDEMA = (
    _say(""),
    _say("There is no pulmonary edema.", absent=_EDEMA),
    _say("The pulmonary vasculature is within normal limits."),
    _say("No pulmonary vascular congestion is present.", absent=_EDEMA),
    _say("Hilar vessels are not engorged."),
)
PLEURA_NORMAL = (
    _say("There is no pleural effusion or pneumothorax.", absent=f"{_EFF}, {_PTX}"),
    _say("No effusion or pneumothorax is seen.", absent=f"{_EFF}, {_PTX}"),
    _say("The pleural spaces are clear."),
    _say("Neither pneumothorax nor pleural fluid is identified.", absent=f"{_EFF}, {_PTX}"),
    _say("The costophrenic angles are sharp, and no pneumothorax is present.", absent=_PTX),
    _say("Pleural spaces appear free of fluid and air."),
    _say("No evidence of pneumothorax or large effusion.", absent=f"{_EFF}, {_PTX}"),
    _say("Costophrenic sulci are clear on both sides."),
)
NO_PNEUMOTHORAX = (
    _say("There is no pneumothorax.", absent=_PTX),
    _say("No pneumothorax is seen.", absent=_PTX),
    _say("No evidence of pneumothorax.", absent=_PTX),
)
NO_EFFUSION = (
    _say("There is no pleural effusion.", absent=_EFF),
    _say("No pleural effusion is seen.", absent=_EFF),
    _say("No evidence of pleural effusion.", absent=_EFF),
)
HEART_NORMAL = (
    _say("The cardiomediastinal silhouette is normal.", absent=_MEDI),
    _say("The heart size is normal, and the mediastinal contours are unremarkable.", absent=f"{_CARD}, {_MEDI}"),
    _say("Cardiac and mediastinal contours are within normal limits.", absent=f"{_CARD}, {_MEDI}"),
    _say("The heart is normal in size.", absent=_CARD),
    _say("Heart size and mediastinal width are normal.", absent=f"{_CARD}, {_MEDI}"),
    _say("Cardiac size is not increased, with a normal aortic contour.", absent=_CARD),
    _say("Heart and great vessels are normal in size.", absent=_CARD),
    _say("Mediastinal structures are sharply outlined and of normal width.", absent=_MEDI),
)
MEDIASTINUM_NORMAL = (
    _say("The mediastinal contours are normal.", absent=_MEDI),
    _say(""),
    _say("The mediastinal and hilar contours are unremarkable.", absent=_MEDI),
    _say("No mediastinal widening is seen.", absent=_MEDI),
)
SIZE_NORMAL = (
    _say("The heart size is normal.", absent=_CARD),
    _say("The heart is not enlarged.", absent=_CARD),
    _say("Heart size is within normal limits.", absent=_CARD),
)
BONES_NORMAL = (
    _say("The osseous structures are intact."),
    _say(""),
    _say("No acute osseous abnormality is identified."),
    _say("No displaced rib fracture is seen.", absent=_FRAC),
    _say("Imaged bony structures are unremarkable."),
    _say("The visualized skeleton shows no acute finding."),
    _say("Ribs and clavicles appear intact."),
)
NOTHING_ACUTE = (
    _say("No acute cardiopulmonary process."),
    _say("No acute intrathoracic abnormality."),
    _say("No radiographic evidence of pneumonia.", absent=_PNEU),
    _say("No evidence of acute disease in the chest."),
    _say("Unremarkable frontal chest examination without acute findings."),
    _say("Nothing to explain the symptoms of the patient on this radiograph."),
    _say("No acute process identified, and no pneumonia.", absent=_PNEU),
)
NORMAL_CHEST = (*NOTHING_ACUTE[:2], _say("Normal chest radiograph."), *NOTHING_ACUTE[2:])
NOTHING_ELSE = (
    _say(""),
    _say("No other acute cardiopulmonary process."),
    _say("No other acute abnormality."),
)
SINCE = {
    "new": (", new since ___", ", new compared with the prior study"),
    "same": ("", ", unchanged since ___", ", similar to the prior study", ", as before"),
    "more": (", increased since ___", ", which has progressed", ", worse than on the prior study"),
    "less": (", decreased since ___", ", improved since the prior study"),
}
"""How a finding compares with the last study; added to its first sentence where the reader compares."""

ASIDES = (
    "",
    "Findings were discussed with Dr. ___ by telephone at the time of review.",
    "Dr. ___ was notified of these findings by telephone.",
)
EXAMINATION = {
    "PA": ("CHEST (PA)", "Chest radiograph, PA view", "DX CHEST PA"),
    "AP": ("CHEST (PORTABLE AP)", "Portable AP chest radiograph", "DX CHEST PORT AP"),
    "both": ("CHEST (PA AND AP)", "Chest radiographs, PA and AP views"),
}
TECHNIQUE = {
    "PA": ("Single PA view of the chest.", "Frontal upright view of the chest.", "PA radiograph of the chest."),
    "AP": ("Single portable AP view of the chest.", "Portable frontal view of the chest.", "Portable AP chest film."),
    "both": ("PA and portable AP views of the chest.", "Two frontal views of the chest."),
}
COMPLAINTS = (
    "cough", "shortness of breath", "chest pain", "fever and cough", "dyspnea on exertion", "altered mental status",
    "weakness", "hypoxia", "a fall", "leukocytosis", "pleuritic chest pain", "syncope", "tachycardia", "hemoptysis",
)  # fmt: skip
QUESTIONS = (
    "Evaluate for pneumonia.", "Assess for acute process.", "Please evaluate for acute cardiopulmonary process.",
    "Evaluate for infiltrate.", "Interval change?", "Rule out pneumonia.", "Assess for volume overload.",
)  # fmt: skip
FIRST_COMPARISON = ("None.", "___.", "None available.", "No prior studies available.")
LATER_COMPARISON = ("Radiograph from ___.", "___.", "Comparison is made to the study of ___.", "Chest film of ___.")
