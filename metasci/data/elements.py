"""Chemical elements as tables of alloys name them: by symbol or by name."""

from __future__ import annotations

__all__ = ["NAMES", "element_of"]

_SYMBOLS_AND_NAMES = (
    "H hydrogen He helium Li lithium Be beryllium B boron C carbon N nitrogen O oxygen F fluorine Ne neon Na sodium "
    "Mg magnesium Al aluminium Si silicon P phosphorus S sulfur Cl chlorine Ar argon K potassium Ca calcium "
    "Sc scandium Ti titanium V vanadium Cr chromium Mn manganese Fe iron Co cobalt Ni nickel Cu copper Zn zinc "
    "Ga gallium Ge germanium As arsenic Se selenium Br bromine Rb rubidium Sr strontium Y yttrium Zr zirconium "
    "Nb niobium Mo molybdenum Tc technetium Ru ruthenium Rh rhodium Pd palladium Ag silver Cd cadmium In indium "
    "Sn tin Sb antimony Te tellurium I iodine Cs caesium Ba barium La lanthanum Ce cerium Pr praseodymium "
    "Nd neodymium Sm samarium Eu europium Gd gadolinium Tb terbium Dy dysprosium Ho holmium Er erbium Tm thulium "
    "Yb ytterbium Lu lutetium Hf hafnium Ta tantalum W tungsten Re rhenium Os osmium Ir iridium Pt platinum Au gold "
    "Hg mercury Tl thallium Pb lead Bi bismuth Th thorium U uranium"
)
_WORDS = _SYMBOLS_AND_NAMES.split()
NAMES = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))
"""Names by symbol."""
_OTHER = {"aluminum": "aluminium", "sulphur": "sulfur", "cesium": "caesium", "columbium": "niobium"}
_ELEMENTS = frozenset(NAMES.values())


def element_of(text: str) -> str:
    """The element that a symbol or a name says, in IUPAC's spelling, or an empty text.

    Examples
    --------
    >>> element_of("Al"), element_of("Aluminum"), element_of("co"), element_of("time")
    ('aluminium', 'aluminium', '', '')
    """
    if text in NAMES:
        return NAMES[text]
    name = text.strip().lower()
    name = _OTHER.get(name, name)
    return name if name in _ELEMENTS else ""
