"""What people in France, Belgium and the Netherlands make passwords of, which a list made from English ones misses.

The most usual first: a guesser tries them in this order, and the estimate counts on it. Our own lists.
"""

FRENCH = """
azerty motdepasse bonjour soleil jetaime amour doudou chouchou loulou marseille coucou azertyuiop bienvenue secret
nicolas chocolat camille vanille papillon princesse toulouse maison famille bordeaux paris france lapin
poisson cheval chat chien voiture moto musique football liberte bonheur sourire bisous bisou cherie chaton chienne
titou nounou maman papa maman1 mamie papy enfant bebe fille garcon femme homme amis amitie coeur toujours
jamais vacances plage montagne neige pluie orage etoile lune ciel nuage fleur jardin foret arbre riviere ocean mer
fraise cerise pomme banane orange citron melon framboise fromage baguette croissant cafe vin biere champagne
janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre printemps automne hiver ete
lundi mardi mercredi jeudi vendredi samedi dimanche matin midi soir nuit jour semaine annee
rouge bleu vert jaune noir blanc violet rose gris marron
un deux trois quatre cinq six sept huit neuf dix cent mille premier dernier
lyon nantes strasbourg lille rennes grenoble montpellier nice reims dijon angers brest limoges tours metz nancy
bruxelles liege namur charleroi mons anvers gand bruges louvain wallonie belgique belge europe bretagne normandie
alsace provence corse auvergne savoie
entreprise societe bureau travail reunion direction comptabilite facture client fournisseur service equipe projet
contrat dossier document informatique ordinateur internet reseau serveur administrateur utilisateur compte acces
connexion identifiant passe code clavier souris ecran bonjour1 salut merci aurevoir
pierre jean michel philippe alain patrick nathalie isabelle sylvie catherine martine christophe stephane laurent
frederic sebastien julien thomas antoine guillaume alexandre mathieu matthieu olivier francois celine sandrine
aurelie emilie julie marine pauline charlotte manon chloe lea emma louise alice juliette margaux clement quentin
valentin hugo lucas louis gabriel raphael arthur jules adam leo
licorne dragon loup tigre lion ours renard oiseau aigle requin dauphin tortue grenouille
superman batman pokemon mario zidane ronaldo psg olympique allez vive champion coupe monde
merde putain connard salope caca pipi toto tata titi tintin asterix obelix
"""

DUTCH = """
welkom wachtwoord geheim hallo liefde schatje voetbal zomer lente herfst winter ajax feyenoord psv amsterdam rotterdam
oranje nederland holland vlaanderen belgie antwerpen gent brugge leuven brussel mechelen hasselt kortrijk oostende
utrecht eindhoven groningen tilburg almere breda nijmegen arnhem haarlem enschede zwolle maastricht leiden dordrecht
schat lieverd lieveling poesje hondje katje kat hond paard konijn vogel vis muis olifant tijger leeuw beer vlinder
zonnetje zon maan ster sterren hemel regen sneeuw strand zee bos boom bloem bloemen tuin huis thuis auto fiets trein
moeder vader mama papa oma opa zus broer dochter zoon kind kinderen baby vriend vriendin vrienden familie
januari februari maart april mei juni juli augustus september oktober november december
maandag dinsdag woensdag donderdag vrijdag zaterdag zondag ochtend middag avond nacht week maand jaar
rood blauw groen geel zwart wit paars roze grijs bruin
een twee drie vier vijf zes zeven acht negen tien honderd duizend eerste laatste
kaas brood koffie thee bier wijn appel peer aardbei chocolade frietjes friet stroopwafel pannenkoek appeltaart
bedrijf kantoor werk vergadering directie boekhouding factuur klant leverancier dienst team project contract
dossier document computer laptop internet netwerk server beheerder gebruiker account toegang inloggen aanmelden
toetsenbord scherm bureau stoel tafel lamp deur raam sleutel
goedemorgen goedendag goedenavond dankjewel bedankt alsjeblieft tot ziens doei dag vakantie feest verjaardag
kerstmis pasen sinterklaas koning koningin prins prinses kroon
jan piet klaas willem hendrik johan peter kees henk gerrit marieke anneke ingrid monique esther sanne lotte
femke anouk eline fleur sophie julia emma daan sem lucas levi finn noah milan luuk thijs bram jeroen sander
maarten wouter bart koen dirk luc marc guy
waterloo manneken vlaming hollander belg nederlander
"""
