"""English words for synthetic texts."""

_COMMON = """
able about above across act after again age ago air all almost alone along already also always
among and animal answer any apple area arm around art ask autumn away baby back bad bag bake ball
band bank bar base basket bath beach bean bear beat beauty become bed bee before began begin behind
bell below bench best better between big bird black blood blow blue board boat body bone book born
both bottle bottom box boy branch bread break bridge bright bring broad brother brown build burn
busy but butter button buy cake call calm camp candle capital captain car card care carry case
castle cat catch cattle cause center chain chair chance change cheese chicken chief child choose
church circle city class clay clean clear climb clock close cloth cloud coal coast coat coffee cold
color common cook cool copper corn corner cotton count country course cover cow create cross crowd
cry cup current cut dance dark daughter day deal dear deep desert desk dinner direct dish distant
doctor dog door double doubt down draw dream dress drink drive drop dry duck dust each early earn
earth east easy eat edge egg eight electric else empty end engine enough equal even evening ever
every exact eye face fact fall family famous far farm fast father favor fear feather feel fence
field fig fight figure fill final find fine finger finish fire first fish five flag flat floor
flour flower fly follow food foot forest fork form forward four fox free fresh friend from front
fruit full game garden gate gather gentle gift girl give glad glass glove goat gold good grain
grand grass gray great green ground group grow guess guest guide hair half hall hammer hand happy
harbor hard harvest hat hay head hear heart heat heavy help hen high hill history hold hole holiday
home honey hope horse hot hotel hour house huge human hundred hunt hurry ice idea ink inside iron
island jar jewel join journey judge jump just keep kettle key kind king kitchen knee knife know lady
lake lamb lamp land language large last late laugh leaf learn leather leave left leg lemon lesson
letter level library life lift light line lion list listen little live long look loud love low
machine magic mail main make map march mark market master match matter meadow meal mean measure
meat medicine meet melon middle might mile milk mill mind minute mirror moment money month moon
more morning mother motion mountain mouse mouth move much music nail name narrow nation nature near
neck need needle nest never new news next night nine noise north nose note nothing now number oak
ocean offer office often oil old olive once onion only open orange orchard order other oven over
owl own page pail paint pair palace palm paper parcel parent park part party pass past path patient
peace pear pen pencil people pepper perfect person picture piece pig pillow pilot place plain plan
plane plant plate play please plenty plum pocket poem point pond poor port pot potato pound power
present pretty price prince print promise proof proud public pull pupil push quarter queen quick
quiet rabbit race rain raise reach read ready reason record red rest rice rich ride right ring rise
river road rock roof room root rope rose round rule run sail salt same sand save say school science
sea season seat second secret seed seem sell send sentence serve seven shade shallow shape sharp
sheep shelf shell shine ship shirt shoe shop shore short shoulder show silent silk silver simple
sing sister sit six size skin sky sleep slow small smile smoke smooth snow soap soft soil soldier
some son song soon sound soup south space spade speak spoon spring square stable stage stand star
start station stay steam steel step stick still stone stop store storm story stove straight strange
stream street string strong student study sugar suit summer sun supper sure surface sweet swim table
tail take talk tall tea teach team tell temple ten tent test thank thick thin thing think third
thread three throw thumb ticket tide tiger time tin today together tomorrow tool top touch toward
tower town trade train travel tree trip true trust try turn twelve twenty two uncle under until
valley value very view village visit voice wagon wait walk wall want warm wash watch water wave way
weather week weight well west wheat wheel when while white wide wild wind window wine wing winter
wire wise with wood wool word work world write yard year yellow yesterday young
"""
COMMON = tuple(_COMMON.split())
"""Common words, each once."""

_FIRST = """
ash barley birch blue bold brass bright brook clay clear cliff cloud copper corn crest dawn deep
dusk east elm ember fair far fern field fire flint fox frost glen gold grand gray green hay hazel
heath high hill iron ivy lake lark leaf light lime long maple marsh mist moon moss north oak old
otter pine rain red reed rock rose sage salt sand silver snow south star stone storm summer sun
swan thorn west wheat white wild wind winter wolf wood
"""
FIRST = tuple(_FIRST.split())
_LAST = """
bank bend berry board bourne bridge brook burn bush cliff cote croft dale den edge fall fell ferry
field flower ford garth gate glade grove hall ham haven head heart hill hold holm house hurst keep
land lea lock mark mead mere mill moor mount mouth path pool port ridge rise run shade shaw shore
side song spring stead stone stream ton tree vale view wall ward water way well wick wood worth yard
"""
LAST = tuple(_LAST.split())
"""Halves of compounds, for vocabularies larger than the list."""


def vocabulary(size: int) -> list[str]:
    """Return `size` different words, the same each time: common ones, then compounds.

    There are 5,000 and more: `len(COMMON)` and the compounds of two different halves.
    """
    words = list(COMMON[:size])
    known = set(COMMON)
    for step in range(len(LAST)):
        for i, first in enumerate(FIRST):
            last = LAST[(i + step) % len(LAST)]
            word = first + last
            if len(words) < size and first != last and word not in known:
                words.append(word)
                known.add(word)
    return words
