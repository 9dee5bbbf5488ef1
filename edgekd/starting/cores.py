"""Which core an Arm processor's maker and part number stand for."""

from __future__ import annotations

# Source: Linux, arch/arm64/include/asm/cputype.h. The names are those of published rows.
ARM = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4B: "Cortex-A78C",
    0xD4C: "Cortex-X1C",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
    0xD84: "Neoverse-V3",
    0xD85: "Cortex-X925",
    0xD87: "Cortex-A725",
    0xD8E: "Neoverse-N3",
}
# Kryo cores up to the 400 series are Arm's own, with changes; device files call them by those.
QUALCOMM = {
    0x800: "Cortex-A73",
    0x801: "Cortex-A53",
    0x802: "Cortex-A75",
    0x803: "Cortex-A55",
    0x804: "Cortex-A76",
    0x805: "Cortex-A55",
    0x001: "Oryon",
}
APPLE = {0x022: "Icestorm", 0x023: "Firestorm"}
MAKERS = {0x41: ARM, 0x51: QUALCOMM, 0x61: APPLE}


def name_of(maker: int, part: int) -> str:
    """The core's name; its numbers where they aren't known.

    >>> name_of(0x41, 0xD0B), name_of(0x41, 0xFFF)
    ('Cortex-A76', 'Arm part 0x41:0xfff')
    """
    return MAKERS.get(maker, {}).get(part, f"Arm part {maker:#04x}:{part:#05x}")


def of_register(midr: int) -> str:
    """The name that the register MIDR_EL1 stands for: the maker in bits 24 to 31, the part in bits 4 to 15.

    >>> of_register(0x414FD0B1)
    'Cortex-A76'
    """
    return name_of(midr >> 24 & 0xFF, midr >> 4 & 0xFFF)
