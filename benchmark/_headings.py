"""What the headings of radiology reports mean, in eight languages.

Gathered from report templates in English, German, French, Spanish, Portuguese, Italian, Dutch and Turkish. Names stand
here as `fold` makes them: lower case, without accents.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from benchmark._mimic_sections import VIEW_WORDS

FINDINGS, IMPRESSION = "findings", "impression"
TITLE = "title"
"""Stands over the whole report (`FINAL REPORT`): what follows has no heading of its own."""
VIEW = "view"
"""Names the examination (`PORTABLE CHEST`): a title where it does not stand inside findings or impression."""
CONTEXT = "context"
"""What was known beforehand or done: indication, technique, comparison, …"""
CLOSING = "closing"
"""What comes after the reading: recommendation, notification, signature, …"""

_NAMES = {
    FINDINGS: """
        findings, finding, report, report text, body, body of report, description, observations, observation, result,
        results, reference findings,
        befund, befunde, befundbericht, befundbeschreibung, beschreibung, bericht, rontgenbefund,
        resultats, resultat, constatations, compte rendu, compte-rendu, analyse, lecture,
        hallazgos, hallazgo, descripcion, informe, resultados, reporte,
        achados, achado, descricao, laudo, relatorio, analise,
        reperti, reperto, referto, descrizione,
        bevindingen, bevinding, verslag, beschrijving,
        bulgular, bulgu, rapor, radyolojik bulgular""",
    IMPRESSION: """
        impression, impressions, conclusion, conclusions, opinion, summary, assessment, diagnosis, diagnoses,
        interpretation, impresson, imprression, imoression, impressoin, imprssion, impresion, imperssion, mpression,
        impession,
        beurteilung, zusammenfassung, diagnose, diagnosen, fazit, bewertung,
        synthese, avis, diagnostic,
        impresion diagnostica, impresion radiologica, conclusiones, opinion diagnostica, resumen, diagnostico,
        diagnosticos,
        impressao, impressao diagnostica, conclusao, conclusoes, opiniao, resumo, hipotese diagnostica,
        conclusioni, conclusione, impressione, sintesi, diagnosi, giudizio, giudizio diagnostico,
        conclusie, conclusies, impressie, samenvatting, beoordeling,
        sonuc, sonuclar, kani, kanaat, yorum, degerlendirme, izlenim""",
    TITLE: """
        final report, preliminary report, radiology report, radiological report, x-ray report, diagnostic report,
        rontgenbericht, radiologischer befundbericht, radiyoloji raporu""",
    CONTEXT: """
        indication, indications, idication, clinical indication, indication for exam, reason, reason for exam,
        reason for examination, reason for study, reason for visit, reason for this examination, history,
        clinical history, patient history, medical history, clinical information, clinical details, clinical data,
        clinical diagnosis, clinical summary, clinical question, clinical findings, clinical impression, clinical notes,
        admitting diagnosis, admission diagnosis, referral diagnosis, presenting complaint, chief complaint, symptoms,
        technique, techniques, method, methods, protocol, procedure, procedure description, exam description,
        exam, examination, examinations, type of exam, type of examination, exam type, study, study type, modality,
        view, views, date, exam date, study date, date of exam, date of examination, time, pfi,
        comparison, comparisons, comparision, comparsion, comparison exam, comparison study, comparison studies,
        comparison film, prior study, prior studies, previous study, previous studies, priors, reference exam,
        patient name, age, sex, gender, mrn, accession, accession number, referring physician, ordering physician,
        indikation, rechtfertigende indikation, fragestellung, klinische angaben, klinische fragestellung, klinik,
        klinische diagnose, anamnese, technik, methode, methodik, untersuchung, untersuchungstechnik,
        vergleich, voraufnahme, voraufnahmen, voruntersuchung, voruntersuchungen,
        motif, motif de l'examen, renseignements cliniques, contexte, contexte clinique, antecedents, histoire,
        comparaison, examen, examens anterieurs,
        indicacion, indicaciones, motivo, motivo de consulta, motivo del estudio, antecedentes, datos clinicos,
        historia clinica, informacion clinica, diagnostico clinico, tecnica, comparacion, estudio, estudios previos,
        indicacao, indicacao clinica, dados clinicos, informacao clinica, informacoes clinicas, comparacao, exame,
        metodo, motivo do exame, hipotese clinica,
        indicazione, indicazioni, indicazione clinica, quesito clinico, quesito diagnostico, dati clinici, anamnesi,
        tecnica di esame, tecnica d'esame, confronto, esame, esami precedenti,
        indicatie, klinische gegevens, medische gegevens, vraagstelling, klinische vraagstelling, voorgeschiedenis,
        techniek, vergelijking, onderzoek,
        endikasyon, klinik bilgi, klinik bilgiler, klinik bulgular, klinik tani, on tani, oyku, teknik, yontem, tetkik,
        inceleme, karsilastirma""",
    CLOSING: """
        recommendation, recommendations, advice, plan, follow up, follow-up, followup, notification, communication,
        critical result, critical results, addendum, addenda, comment, comments, wet read, wetread, end of impression,
        signature, signed by, electronically signed by, dictated by, transcribed by, reported by, read by,
        verified by, approved by, radiologist, attending, attending radiologist,
        empfehlung, empfehlungen, procedere, prozedere, nachtrag, unterschrift,
        recommandation, recommandations, conduite a tenir,
        recomendacion, recomendaciones, sugerencia, sugerencias, recomendacao, recomendacoes,
        raccomandazione, raccomandazioni, suggerimento, aanbeveling, aanbevelingen, advies, oneri, oneriler""",
}
_KIND = {" ".join(name.split()): kind for kind, names in _NAMES.items() for name in names.split(",")}

_MODIFIERS = frozenset(
    """additional brief chest current cxr detailed diagnostic final general imaging incidental key lung main other
    overall pertinent preliminary provisional radiograph radiographic radiologic radiological radiology relevant
    significant thoracic x-ray xray""".split()
)
"""Words that may stand before a name without changing its meaning."""

_CONTAINED = (
    ("impression", IMPRESSION),
    ("findings", FINDINGS),
    ("history", CONTEXT),
    ("comparison", CONTEXT),
    ("addendum", CLOSING),
)
"""What decides about a heading in capitals that is not known by itself; the order is the official parser's."""

_LONGEST = 5
"""A heading has at most so many words."""

_PRIORITY = (IMPRESSION, FINDINGS, TITLE, CLOSING, CONTEXT)
"""Of a heading that names several, as MIMIC-CXR's official map has it: `FINDINGS/IMPRESSION` is an impression."""

_MARKS = " \t\u00a0#>*•·_[]"
_NUMBER = re.compile(r"(?:\d{1,2}|[ivx]{1,4}|[a-z])[.)]\s+", re.IGNORECASE)
_AND = re.compile(r"\s*[/&+,]\s*|\s+(?:and|und|et|y|e|en|ve)\s+")


def bare(name: str, numbered: bool = False) -> str:
    """A heading without the marks around it: Markdown, bullets, brackets, and where `numbered` a number before it."""
    name = name.strip(_MARKS)
    return _NUMBER.sub("", name, count=1).strip(_MARKS) if numbered and _NUMBER.match(name) else name


def fold(name: str) -> str:
    """Lower case without accents, remarks in brackets and double spaces: `SONUÇ / KANI` → `sonuc / kani`."""
    plain = unicodedata.normalize("NFKD", name.casefold()).replace("ı", "i").replace("’", "'")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.sub(r"\([^)]*\)", "", plain).split())


@lru_cache(maxsize=4096)
def kind_of(name: str) -> str:
    """What a `bare` heading means: one of the kinds above; empty for one that is not known.

    Known are single names, several joined (`Findings and Impression`), and either after words such as `Chest`.
    """
    folded = fold(name)
    if not folded or len(folded.split()) > _LONGEST:
        return ""
    if kind := _single(folded):
        return kind
    parts = {_single(part) for part in _AND.split(folded)}
    return next((kind for kind in _PRIORITY if kind in parts), "") if "" not in parts else ""


@lru_cache(maxsize=4096)
def kind_in_capitals(name: str) -> str:
    """What a `bare` heading in capitals at the beginning of a line means: by the words in it, if not by itself."""
    if kind := kind_of(name):
        return kind
    folded = name.casefold()
    if not name.isupper() or len(folded.split()) > _LONGEST:
        return ""
    contained = next((kind for word, kind in _CONTAINED if word in folded), "")
    return contained or (VIEW if any(word in folded for word in VIEW_WORDS) else "")


def _single(folded: str) -> str:
    while folded not in _KIND:
        first, space, rest = folded.partition(" ")
        if first not in _MODIFIERS or not space:
            return ""
        folded = rest
    return _KIND[folded]
